"""Scatter: names lie neither on one another nor on marks, and a line leads to the mark of one that is not beside it."""

import re
from itertools import combinations

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


ROWS = [  # of the study's page on leakage: label, % that leak, score
    ("Base", 0.0, 37.2),
    ("GRPO", 0.0, 55.2),
    ("RLSD (never)", 0.0, 56.9),
    ("RLSD (whole)", 8.6, 54.7),
    ("RLSD, blank reference (whole)", 2.5, 57.8),
    ("RLSD, sign flipped (whole)", 0.0, 47.8),
    ("RLSD, weights permuted (whole)", 0.0, 55.0),
    ("RLSD, wrong reference (whole)", 4.5, 56.2),
]


def test_names_of_a_crowd_keep_to_their_marks():
    look = looks([label for label, *_ in ROWS])
    points = [Point(n, look[n], Estimate(x / 100, 0.01, 9, 5), Estimate(y / 100, 0.01, 9, 5)) for n, x, y in ROWS]
    svg = str(Scatter(tuple(points), "leaks", "score").svg())
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


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
