"""Intervals: ends in percent, hollow marks where no test tells a difference."""

import re

import pytest

from reports.figures.intervals import Intervals, Line
from reports.figures.looks import looks
from reports.stats.estimate import Estimate

LOOK = looks(["mine"])["mine"]
SURE = Line("sure", LOOK, Estimate(0.1, 0.02, 50, 1, 0.06, 0.14), True)
OPEN = Line("<open>", LOOK, Estimate(-0.01, 0.02, 50, 1, None, None), False)


def test_marks_bars_and_words():
    svg = str(Intervals((("Average", (SURE, OPEN)), ("MMMU", (SURE,))), "points", signed=True).svg())
    assert svg.count('class="bar"') == 2
    assert (svg.count('class="mark"'), svg.count('class="hollow"')) == (2, 1)
    assert "+10.0" in svg
    assert "−1.0" in svg
    assert "Average: sure 10.0 (6.0 to 14.0), &lt;open&gt; -1.0; MMMU" in svg
    assert "<open>" not in svg


def test_a_long_heading_stays_in_the_picture():
    head = "Replies that mention a reference they never saw"
    svg = str(Intervals(((head, (Line("RLSD, wrong reference (whole)", LOOK, SURE.found),)),), "points").svg())
    start = float(re.search(rf'<text x="([\d.]+)"[^>]*>{head}', svg).group(1))
    assert start > 0 and start + 8 * len(head) < 560


def test_a_mark_lies_in_the_middle_of_its_interval():
    svg = str(Intervals((("A", (SURE,)),), "points").svg())
    ends = [float(x) for x in re.search(r'x1="([\d.]+)"[^>]*x2="([\d.]+)"[^>]*class="bar"', svg).groups()]
    mark = float(re.search(r'class="mark" transform="translate\(([\d.]+)', svg).group(1))
    assert mark == pytest.approx(sum(ends) / 2, abs=0.11)
