"""Curves: where points lie, bands of seeds, and what is read out."""

import re

import pandas as pd
import pytest

from reports.figures.axes import CHARACTER
from reports.figures.lines import BOTTOM, LEFT, POINTS, RIGHT, TOP, WIDTH, Curve, Lines
from reports.figures.looks import looks

LOOK = looks(["mine"])["mine"]


def lines(*seeds, **changes):
    frame = pd.DataFrame(dict(enumerate(seeds)), index=range(1, len(seeds[0]) + 1))
    curve = Curve("<mine>", "50 % <b>$", LOOK, frame, frame.mean(axis=1))
    return str(Lines("Title <i>", "unit", (curve,), **changes).svg())


def drawn(svg, kind):
    (path,) = re.findall(rf'class="{kind}" d="M([^"Z]*)', svg)
    return [tuple(map(float, point.split(","))) for point in path.split("L")]


def test_points_lie_where_their_values_are():
    first, middle, last = drawn(lines([0.0, 1.0, 2.0]), "thick")
    assert (first[0], last[0]) == (LEFT, RIGHT)
    assert middle == pytest.approx(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), abs=0.1)
    assert BOTTOM > first[1] > last[1] > TOP  # 0 is just above the axis, the highest just below the top


def test_seeds_are_a_band_from_lowest_to_highest():
    svg = lines([1.0, 1.0], [3.0, 5.0])
    high = [y for _, y in drawn(svg, "band")]
    low = [y for _, y in drawn(lines([1.0, 1.0], [3.0, 5.0]), "band")][::-1]
    mean = [y for _, y in drawn(svg, "thick")]
    assert [m - (up + down) / 2 for m, up, down in zip(mean, high[:2], low[:2], strict=True)] == pytest.approx(
        [0, 0], abs=0.1
    )
    assert 'class="thin"' in lines([1.0, 2.0], window=3)
    assert 'class="band"' not in lines([1.0, 2.0])


def test_labels_are_text_and_the_picture_can_be_heard():
    svg = lines([0.25, 0.75])
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert (
        'role="img" aria-label="Title &lt;i&gt;, unit, over optimizer steps: 50 % &lt;b&gt;$ from 0.25 to 0.75"' in svg
    )


def test_long_curves_keep_what_pixels_can_show_and_their_end():
    points = drawn(lines([float(i % 7) for i in range(5000)]), "thick")
    assert len(points) <= POINTS + 1
    assert points[-1][0] == RIGHT


def test_every_measured_point_has_its_mark():
    assert lines([1.0, 2.0, 3.0], marked=True).count('class="mark"') == 3


@pytest.mark.parametrize("steps", [150, 200, 1000, 123456])
def test_no_value_below_is_cut(steps):
    frame = pd.DataFrame({0: [1.0, 2.0]}, index=[0, steps])
    svg = str(Lines("Title", "unit", (Curve("mine", "Mine", LOOK, frame, frame.mean(axis=1)),)).svg())
    (group,) = re.findall(r'<g class="x">(.*?)</g>', svg)
    ends = [
        float(x) + CHARACTER * len(words) / 2 for x, words in re.findall(r'<text x="([\d.]+)"[^>]*>([^<]*)<', group)
    ]
    assert ends and max(ends) <= WIDTH
