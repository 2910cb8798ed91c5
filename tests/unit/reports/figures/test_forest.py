"""The forest plot: a panel a bench, intervals in points, hollow marks where no test tells a difference."""

import pytest
from matplotlib.figure import Figure

from reports.figures.forest import Forest, Line
from reports.figures.looks import looks
from reports.figures.picture import pictures
from reports.stats.estimate import Estimate

LOOK = looks(["mine"])["mine"]
SURE = Line("sure $x^", LOOK, Estimate(0.1, 0.02, 50, 1, 0.06, 0.14), True)
OPEN = Line("<open>", LOOK, Estimate(-0.01, 0.02, 50, 1, None, None), False)


def test_panels_intervals_and_marks():
    figure = Figure()
    Forest((("Average", (SURE, OPEN)), ("MMMU", (SURE,))), "Base").draw(figure)
    first, second = figure.axes
    assert [axes.get_title(loc="left") or axes.get_title() for axes in (first, second)] == ["Average", "MMMU"]
    zero, reach, mark, hollow = first.lines
    assert list(zero.get_xdata()) == [0, 0]
    assert list(reach.get_xdata()) == pytest.approx([6, 14])
    assert mark.get_markerfacecolor() == LOOK.colour
    assert hollow.get_markerfacecolor() == "white"
    assert [label.get_text() for label in first.get_yticklabels()] == ["sure $x^", "<open>"]


def test_a_dollar_is_a_dollar():
    drawing = Forest((("$", (SURE, OPEN)),), "$x^{")
    assert pictures(drawing, "svg") == pictures(drawing, "svg")
