"""Scatter: names lie neither on one another nor on marks, and a line leads to the mark of one that is not beside it."""

import re
from html import unescape
from itertools import combinations

import pytest

from reports.figures.looks import looks
from reports.figures.scatter import Point, Scatter
from reports.stats.estimate import Estimate


def test_names_of_equal_points_stand_below_one_another():
    look = looks(["mine"])["mine"]
    rate, score = Estimate(0.0, None, 10, 1, 0.0, 0.1), Estimate(0.5, 0.1, 10, 1)
    svg = str(Scatter(tuple(Point(f"name {i}", look, rate, score) for i in range(3)), "leaks", "score").svg())
    places = [(float(x), float(y)) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>name', svg)]
    assert len(places) == 3
    assert all(abs(a[1] - b[1]) >= 13 for a, b in combinations(places, 2))
    assert "score against leaks: name 0 50.0 at 0.0" in svg


CREDIT = [  # of the study's pages on leakage: label, % that leak, score
    ("Base", 0.0, 37.2),
    ("GRPO", 0.0, 55.2),
    ("RLSD (never)", 0.0, 56.9),
    ("RLSD (whole)", 8.6, 54.7),
    ("RLSD, blank reference (whole)", 2.5, 57.8),
    ("RLSD, sign flipped (whole)", 0.0, 47.8),
    ("RLSD, weights permuted (whole)", 0.0, 55.0),
    ("RLSD, wrong reference (whole)", 4.5, 56.2),
]
CONTROLS = [
    ("Base", 0.0, 37.2),
    ("GRPO", 0.0, 53.4),
    ("OPSD", 37.9, 39.3),
    ("RLSD", 0.0, 54.3),
    ("GRPO (lr-double)", 0.0, 67.8),
    ("GRPO (lr-half)", 0.0, 43.8),
    ("GRPO (lr-quadruple)", 0.0, 77.5),
    ("GRPO (more-rollouts)", 0.0, 55.8),
    ("GRPO (more-steps)", 0.0, 59.0),
    ("OPSD (answer)", 28.4, 33.5),
    ("OPSD, wrong reference", 28.8, 30.9),
    ("RLSD, another's reference", 0.0, 54.5),
    ("RLSD, blank reference", 0.0, 54.58),
    ("RLSD, sign flipped", 0.0, 52.5),
    ("RLSD, weights permuted", 0.0, 53.5),
    ("RLSD, told the solution", 0.0, 54.1),
    ("RLSD, wrong reference", 0.0, 54.6),
]


@pytest.mark.parametrize("rows", [CREDIT, CONTROLS])
def test_names_of_a_crowd_keep_to_their_marks(rows):
    look = looks([label for label, *_ in rows])
    points = [Point(n, look[n], Estimate(x / 100, 0.01, 9, 5), Estimate(y / 100, 0.01, 9, 5)) for n, x, y in rows]
    svg = unescape(str(Scatter(tuple(points), "leaks", "score").svg()))
    marks = re.findall(r'translate\(([\d.]+) ([\d.]+)\)"[^>]*><title>([^:]+):', svg)
    at = {name: (float(x), float(y)) for x, y, name in marks}
    leads = {
        name
        for group in re.findall(r'<g class="m".*?</g>', svg)
        for name in re.findall(r"<title>([^:]+):", group)
        if 'class="lead"' in group
    }
    boxes = {}
    for x, y, anchor, name in re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" class="name">([^<]+)', svg
    ):
        left = float(x) - (0 if anchor == "start" else 6.5 * len(name))
        boxes[name] = (left, float(y) - 9, left + 6.5 * len(name), float(y) + 2)
    assert boxes.keys() == at.keys()
    for name, box in boxes.items():
        assert box[0] > 0 and box[2] < 480
        assert not any(_meet(box, other) for of, other in boxes.items() if of != name), name
        assert not any(_meet(box, (x - 4, y - 4, x + 4, y + 4)) for x, y in at.values()), name
        assert name in leads or abs((box[1] + box[3]) / 2 - at[name][1]) < 7
    assert leads, "nothing was crowded"
    crowd = sorted(leads, key=lambda name: at[name][1])
    assert [name for name in sorted(leads, key=lambda name: boxes[name][1]) if at[name][0] == at["Base"][0]] == [
        name for name in crowd if at[name][0] == at["Base"][0]
    ], "lines that cross"
    assert "Base" not in leads


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
