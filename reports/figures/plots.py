"""Figures as matplotlib objects and as bytes that depend on nothing but the data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import LineStyleType

from reports.sections.leakage import LeakageRow

STYLE = {
    "svg.hashsalt": "reports",  # without it every SVG carries random ids
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.handlelength": 3.4,
    "savefig.dpi": 150,
}


@dataclass(frozen=True)
class Panel:
    """One metric over training steps. `scale` turns the recorded number into the labelled unit."""

    key: str
    title: str
    unit: str
    help: str
    scale: float = 1.0
    smooth: bool = True


PANELS = (
    Panel(
        "reward",
        "Training reward",
        "mean reward of a reply",
        "Mean reward of the step's sampled replies: up is better. It is measured on training questions and with random "
        "sampling, so it is no benchmark score.",
    ),
    Panel(
        "entropy",
        "Entropy",
        "nats per token",
        "How undecided the model is at each token. Near 0 all replies to a question are alike, and rewards have "
        "nothing left to tell apart.",
    ),
    Panel(
        "length",
        "Reply length",
        "tokens",
        "Mean length of the sampled replies. A jump up often means rambling until the limit, a drop skipped steps.",
    ),
    Panel(
        "leakage",
        "Leakage while training",
        "% of replies",
        "Share of sampled replies that mention a reference, though their prompt contains none: the trace of a teacher "
        "that was told the answer. 0 is right.",
        scale=100.0,
    ),
    Panel(
        "lambda",
        "RLSD's mixing weight λ",
        "λ",
        "How much of RLSD's credit is shaped token by token, on a fixed schedule. At λ = 0 RLSD is GRPO.",
        smooth=False,
    ),
    Panel(
        "clip_rate",
        "Evidence clip rate",
        "% of tokens",
        "Share of tokens at which RLSD's weight was cut at its bounds. Were most tokens cut, the weights would carry "
        "little beyond their sign.",
        scale=100.0,
    ),
    Panel(
        "gap",
        "Teacher–student gap",
        "nats per token",
        "Log-probability of the sampled tokens under the teacher, who was told more, minus under the student. Below 0 "
        "the teacher would rather have written something else; at 0 it has nothing to add on average.",
    ),
)


@dataclass(frozen=True)
class Line:
    """How a method looks in every figure: colour for screens, dash and marker for black-and-white print."""

    colour: str
    dash: LineStyleType
    marker: str


# Okabe and Ito's colour-blind safe palette.
_KNOWN = {
    "base": Line("#8c8c8c", "solid", ""),
    "grpo": Line("#0072B2", "solid", "o"),
    "opsd": Line("#D55E00", (0, (5, 1.5)), "s"),
    "sdpo": Line("#009E73", (0, (1, 1)), "^"),
    "grpo_opsd": Line("#CC79A7", (0, (5, 1, 1, 1)), "D"),
    "rlsd": Line("#000000", "solid", "v"),
}
_OTHERS = (
    Line("#E69F00", (0, (3, 1, 1, 1, 1, 1)), "P"),
    Line("#56B4E9", (0, (8, 2)), "X"),
    Line("#7A5195", (0, (2, 2)), "*"),
)


def lines(methods: Sequence[str]) -> dict[str, Line]:
    """One fixed look a method, whatever else is in the suite; methods beyond the known ones take turns by name."""
    others = sorted(m for m in methods if m not in _KNOWN)
    return {m: _KNOWN[m] if m in _KNOWN else _OTHERS[others.index(m) % len(_OTHERS)] for m in methods}


def drawable(metrics: pd.DataFrame) -> list[Panel]:
    """The panels that some run has recorded."""
    return [panel for panel in PANELS if panel.key in metrics and metrics[panel.key].notna().any()]


def window(metrics: pd.DataFrame) -> int:
    """Steps that a thick line averages over: about a twentieth of the longest run, odd so that it is centred."""
    steps = int(metrics["step"].max()) if "step" in metrics and len(metrics) else 0
    return 2 * round(steps / 40) + 1


def curve(metrics: pd.DataFrame, method: str, panel: Panel) -> tuple[pd.DataFrame, pd.Series[float]]:
    """Values in the panel's unit: one column a seed by step, and their mean over the steps that every seed reached."""
    rows = metrics[metrics["method"] == method].dropna(subset=[panel.key])
    seeds = rows.pivot(index="step", columns="seed", values=panel.key) * panel.scale
    mean = seeds.dropna().mean(axis=1)
    if panel.smooth:
        mean = mean.rolling(window(metrics), center=True, min_periods=1).mean()
    return seeds, mean


def panel_figure(metrics: pd.DataFrame, panel: Panel, labels: dict[str, str], legend: bool) -> Figure:
    """One panel; the page draws it without a legend, as it shows one legend for all."""
    figure = Figure(figsize=(4.6, 3.6 if legend else 2.9), layout="constrained")
    axes = figure.subplots()
    shown = _draw(axes, metrics, panel, labels)
    if legend:
        figure.legend(handles=_handles(shown, labels), loc="outside lower center", ncols=3)
    return figure


def overview_figure(metrics: pd.DataFrame, panels: Sequence[Panel], labels: dict[str, str]) -> Figure:
    """All panels as small multiples, the legend in the place after the last."""
    rows = (len(panels) + 4) // 4
    figure = Figure(figsize=(13, 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False).ravel()
    shown: set[str] = set()
    for axes, panel in zip(grid, panels, strict=False):
        shown |= _draw(axes, metrics, panel, labels)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    grid[len(panels)].legend(handles=_handles(shown, labels), loc="center", fontsize=11)
    return figure


def swatch_figure(look: Line) -> Figure:
    """A method's line alone, for a legend whose words are the page's own text."""
    figure = Figure(figsize=(0.6, 0.18))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.plot(
        [0, 1, 2],
        [0, 0, 0],
        color=look.colour,
        linestyle=look.dash,
        marker=look.marker,
        markevery=[1],
    )
    return figure


def _draw(axes: Axes, metrics: pd.DataFrame, panel: Panel, labels: dict[str, str]) -> set[str]:
    looks, shown = lines(list(labels)), set()
    for position, method in enumerate(m for m in labels if m in set(metrics["method"])):
        seeds, mean = curve(metrics, method, panel)
        if seeds.empty:
            continue
        look = looks[method]
        shown.add(method)
        for seed in seeds:
            axes.plot(seeds.index, seeds[seed], color=look.colour, linewidth=0.6, alpha=0.3)
        axes.plot(
            mean.index,
            mean,
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.7,
            marker=look.marker,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            markevery=(
                position * len(mean) // 40,
                max(1, len(mean) // 6),
            ),  # shifted, so that markers do not meet
        )
    axes.set_title(panel.title)
    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.set_ylabel(panel.unit)
    if panel.key == "gap":
        axes.axhline(0, color="#555555", linewidth=0.8)
    elif panel.key != "length":
        # From just below 0, so that a line that stays at 0 does not hide behind the axis.
        top = 1.05 * axes.dataLim.ymax if axes.dataLim.ymax > 0 else 1.0
        axes.set_ylim(-0.03 * top, top)
    return shown


def _handles(methods: set[str], labels: dict[str, str]) -> list[Line2D]:
    looks = lines(list(labels))
    return [
        Line2D(
            [],
            [],
            color=looks[m].colour,
            linestyle=looks[m].dash,
            marker=looks[m].marker,
            linewidth=1.7,
            label=labels[m],
        )
        for m in labels
        if m in methods
    ]


def leakage_figure(rows: Sequence[LeakageRow]) -> Figure:
    """Leakage of each evaluated row with one standard error."""
    measured = [(row, row.rate) for row in rows if row.rate is not None]
    looks = lines([row.method for row in rows])
    figure = Figure(figsize=(6.2, 0.8 + 0.36 * len(measured)), layout="constrained")
    axes = figure.subplots()
    for place, (row, rate) in enumerate(measured):
        error = 100 * (rate.stderr or 0.0)
        axes.barh(place, 100 * rate.mean, color=looks[row.method].colour, alpha=0.65, height=0.62)
        axes.errorbar(
            100 * rate.mean,
            place,
            xerr=error,
            color="#333333",
            ecolor="#333333",
            capsize=3,
            linewidth=1,
        )
        axes.annotate(
            f"{100 * rate.mean:.1f} %",
            (100 * rate.mean + error, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(measured)), [row.label for row, _ in measured])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max([1.0, *(115 * (r.mean + (r.stderr or 0.0)) for _, r in measured)]))
    axes.set_xlabel("benchmark replies that mention an unseen reference, % ± one standard error")
    return figure


def picture(figure: Figure, kind: str) -> bytes:
    """`png` or `svg`, without dates or version stamps."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata)
    figure.set_layout_engine("none")  # what was placed stays there in the other format, and is not worked out again
    return buffer.getvalue()


def figure_files(metrics: pd.DataFrame, rows: Sequence[LeakageRow], labels: dict[str, str]) -> dict[str, bytes]:
    """File name to content: each panel, their overview, and the evaluated leakage, all as png and svg."""
    # A reader's own matplotlibrc must not change the report.
    with matplotlib.style.context(["default", STYLE]):
        panels = drawable(metrics)
        drawn = {panel.key: panel_figure(metrics, panel, labels, legend=True) for panel in panels}
        if panels:
            drawn["overview"] = overview_figure(metrics, panels, labels)
        if any(row.rate is not None for row in rows):
            drawn["leakage_evaluated"] = leakage_figure(rows)
        return {f"{name}.{kind}": picture(figure, kind) for name, figure in drawn.items() for kind in ("png", "svg")}


def page_panels(metrics: pd.DataFrame, labels: dict[str, str]) -> dict[str, bytes]:
    """Panel key to SVG without legend."""
    with matplotlib.style.context(["default", STYLE]):
        return {p.key: picture(panel_figure(metrics, p, labels, legend=False), "svg") for p in drawable(metrics)}


def page_swatches(metrics: pd.DataFrame, labels: dict[str, str]) -> dict[str, bytes]:
    """Label to SVG, for the methods that have metrics."""
    looks, trained = lines(list(labels)), set(metrics["method"])
    with matplotlib.style.context(["default", STYLE]):
        return {labels[m]: picture(swatch_figure(looks[m]), "svg") for m in labels if m in trained}
