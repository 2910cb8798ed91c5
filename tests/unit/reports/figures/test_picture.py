"""Drawings: the same bytes for the same data, whatever somebody's label says."""

import matplotlib as mpl
import pandas as pd

from reports.figures.bars import Bars
from reports.figures.curves import Curve, Curves, Overview
from reports.figures.looks import looks
from reports.figures.picture import pictures
from reports.stats.estimate import Estimate

LOOK = looks(["mine"])["mine"]


def curves(*values):
    seeds = pd.DataFrame({0: values}, index=range(1, len(values) + 1))
    return Curves("Title $x^{", "unit", (Curve("mine", "50 % $ \\frac", LOOK, seeds, seeds[0]),))


def drawn(panel):
    from matplotlib.figure import Figure

    figure = Figure()
    panel.draw(figure)
    return figure.axes[0]


def test_bytes_depend_on_the_data_alone_and_a_dollar_is_a_dollar():
    rate = Estimate(0.25, 0.05, 10, 1)
    for drawing in (Bars((("$a", LOOK, rate),), "$b^"), curves(1.0, 2.0), Overview((curves(1.0),), {"m$": LOOK}), LOOK):
        first = pictures(drawing, "png", "svg")
        with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
            assert pictures(drawing, "png", "svg") == first
        assert first[0].startswith(b"\x89PNG")
        assert b"<svg" in first[1]


def test_an_axis_shows_zero_unless_it_is_told_not_to():
    low, high = drawn(curves(1.0, 2.0)).get_ylim()
    assert -0.1 < low < 0
    assert 2 < high < 2.2
    low, high = drawn(curves(-1.0, -0.5)).get_ylim()
    assert low < -1
    assert high > 0  # the line at 0
