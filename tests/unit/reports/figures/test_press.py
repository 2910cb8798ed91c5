"""Pictures for a paper: the data are where they belong, and a reader's own settings change nothing."""

import io

import matplotlib as mpl
import pandas as pd
import pytest

from reports.figures import press
from reports.figures.lines import Curve, Lines
from reports.figures.looks import looks
from reports.stats.estimate import Estimate

LOOK = looks(["mine"])["mine"]


def lines(**seeds):
    frame = pd.DataFrame(seeds, index=[1, 2])
    return Lines("Title $x^{", "unit", (Curve("mine", "50 % $ \\frac", LOOK, frame, frame.mean(axis=1)),))


def test_curves_have_their_band_and_the_legend_below():
    figure = press.curves(lines(a=[1.0, 2.0], b=[3.0, 4.0]))
    (axes,) = figure.axes
    assert list(axes.lines[0].get_ydata()) == [2.0, 3.0]
    assert len(axes.collections) == 1
    assert axes.get_legend() is None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["50 % $ \\frac"]
    assert axes.get_ylim()[0] == 0


def test_bars_are_percent_and_gaps_stay_gaps():
    figure = press.bars(["A", "B"], [("one", LOOK, [Estimate(0.5, 0.1, 10, 1), None])])
    (bar,) = figure.axes[0].patches
    assert bar.get_height() == pytest.approx(50)


def test_tokens_break_where_a_line_is_full():
    figure = press.tokens([("reply", [("x" * 60, 0.0), ("y" * 60, 1.0)])])
    places = {text.get_text()[0]: text.get_position() for text in figure.axes[0].texts}
    assert places == {"r": (0, 0), "x": (0, 1), "y": (0, 2)}


def test_bytes_depend_on_the_data_alone():
    def drawn():
        with press.style():
            buffer = io.BytesIO()
            press.curves(lines(a=[1.0, 2.0])).savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    first = drawn()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert drawn() == first
