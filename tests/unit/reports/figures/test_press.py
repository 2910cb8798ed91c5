"""Pictures for a paper: the data are where they belong, and a reader's own settings change nothing."""

import io
from itertools import pairwise

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

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


LABELS = [
    "Base",
    "GRPO",
    "RLSD",
    "GRPO (lr-double)",
    "RLSD, another's reference (whole)",
    *(f"Mine {i}" for i in range(12)),
]


def boxes(figure, texts):
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts]


@pytest.mark.parametrize("count", [3, 8, 17])
def test_many_rows_with_long_names_stay_in_the_picture(count):
    """Legend, headings and units of curves and bars: nothing is cut, and nothing lies on anything else."""
    look = looks(LABELS)
    frame = pd.DataFrame({0: [1.0, 2.0]}, index=[1, 2])
    curves = [Curve(name, name, look[name], frame, frame.mean(axis=1)) for name in LABELS[:count]]
    heads = ["MMMU mini-large", "MathVista mini-large", "MathVision mini-large", "ZeroBench mini-large", "Average mini"]
    cells = [Estimate(0.5, 0.1, 10, 1)] * len(heads)
    with press.style():
        drawn = [
            press.curves(Lines("Held-out accuracy", "%, the average of 5 benches", tuple(curves))),
            press.bars(heads, [(name, look[name], cells) for name in LABELS[:count]]),
        ]
        for figure in drawn:
            FigureCanvasAgg(figure).draw()
            (axes,) = figure.axes
            low, high = axes.get_xlim()
            shown = [tick for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
            told = [*figure.legends[0].get_texts(), axes.yaxis.label, *shown]
            for box in boxes(figure, told):
                assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
                assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
            assert axes.bbox.height > 1.1 * figure.dpi
            ticks = boxes(figure, shown)
            assert all(left.x1 < right.x0 for left, right in pairwise(ticks))
    bars = {(bar.get_facecolor(), bar.get_hatch()) for bar in drawn[1].axes[0].patches}
    assert len(bars) == count
