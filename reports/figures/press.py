"""Pictures for a paper: vector fonts, small sizes, the legend below the data. Only here matplotlib is needed."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.figures.lines import Lines
from reports.figures.looks import Look
from reports.stats.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = {
    "pdf.fonttype": 42,  # fonts that journals take
    "svg.hashsalt": "reports",
    "text.parse_math": False,  # a $ in somebody's label is a $
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 300,
}
HATCHES = ("", "////", "....", "xxxx", "----")
LETTER = 0.067  # inches, at 8 points
LINE = 112  # characters of a line of tokens: what 6.8 inches hold


def style() -> Any:
    """A context in which nothing but the data decides how a picture looks."""
    import matplotlib.style

    return matplotlib.style.context(["default", STYLE])


def curves(lines: Lines) -> Figure:
    figure = _figure(3.4, 2.7)
    axes = figure.subplots()
    for curve in lines.curves:
        if curve.seeds.shape[1] > 1:
            low, high = curve.seeds.min(axis=1), curve.seeds.max(axis=1)
            axes.fill_between(curve.seeds.index, low, high, color=curve.look.colour, alpha=0.15, linewidth=0)
        dashed: dict[str, Any] = {
            "color": curve.look.colour,
            "linestyle": (0, curve.look.dash) if curve.look.dash else "solid",
        }
        every = 1 if lines.marked else max(1, len(curve.mean) // 6)
        axes.plot(
            curve.mean.index,
            curve.mean,
            **dashed,
            marker=curve.look.marker,
            markersize=4,
            markevery=every,
            linewidth=1.4,
            label=curve.label,
        )
    if lines.from_zero and axes.dataLim.intervaly[0] >= 0:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("optimizer step")
    axes.set_title(lines.title, loc="left", fontsize=8, fontweight="bold")
    axes.set_ylabel(textwrap.fill(lines.unit, 24))
    _legend(figure)
    return figure


def bars(heads: Sequence[str], rows: Sequence[tuple[str, Look, Sequence[Estimate | None]]]) -> Figure:
    """Groups by column, a bar a row with one standard error, in percent. Rows of one colour differ in their hatches."""
    figure = _figure(6.8, 2.7)
    axes = figure.subplots()
    width = 0.8 / len(rows)
    before = Counter[str]()
    for i, (label, look, cells) in enumerate(rows):
        hatch = HATCHES[before[look.colour] % len(HATCHES)]
        before[look.colour] += 1
        known = [(place, cell) for place, cell in enumerate(cells) if cell is not None]
        places = [place - 0.4 + width * (i + 0.5) for place, _ in known]
        heights, errors = [100 * cell.mean for _, cell in known], [100 * (cell.stderr or 0) for _, cell in known]
        shown: dict[str, Any] = {"color": look.colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        axes.bar(places, heights, width * 0.9, yerr=errors, label=label, error_kw={"linewidth": 0.7}, **shown)
    axes.set_xticks(range(len(heads)), [textwrap.fill(head, 12, break_on_hyphens=False) for head in heads])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("score, %")
    _legend(figure)
    return figure


def tokens(replies: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Figure:
    """Replies under their titles: tokens on a ground that is the redder, the nearer their share 0..1 is to 1."""
    rows = list[tuple[str, list[tuple[int, str, float]]]]()
    for title, shaded in replies:
        rows.append((title, []))
        place = LINE
        for text, share in shaded:
            if place + len(text) > LINE:
                rows.append(("", []))
                place = 0
            rows[-1][1].append((place, text, share))
            place += len(text) + 1
    figure = _figure(6.8, 0.2 * len(rows) + 0.2)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, LINE)
    axes.set_ylim(len(rows), -0.5)
    for y, (title, placed) in enumerate(rows):
        if title:
            axes.text(0, y, title, fontweight="bold")
        for place, text, share in placed:
            ground = {"facecolor": (0.84, 0.37, 0.0, 0.75 * share), "edgecolor": "none", "pad": 1.0}
            axes.text(place, y, text, family="monospace", fontsize=7, bbox=ground)
    return figure


def _legend(figure: Figure) -> None:
    """Below the data, in as many columns as there is room for; the figure grows by its rows."""
    labels = [str(label) for label in figure.axes[0].get_legend_handles_labels()[1]]
    width, height = figure.get_size_inches()
    columns = max(1, int(width / (0.55 + LETTER * max(map(len, labels), default=0))))
    rows = -(-len(labels) // columns)
    figure.set_size_inches(width, height + 0.17 * max(0, rows - 2))
    figure.legend(loc="outside lower center", ncols=columns)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
