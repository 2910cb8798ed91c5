"""The figure: what was measured beside what the counted work allows."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from runners.speed.report import Row


def draw(rows: list[Row], path: Path) -> None:
    """Speed-ups with their range and both bounds, memory of the update, and whole steps against stock GRPO's."""
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 13), layout="constrained")
        speed, memory, steps = figure.subplots(3, 1, height_ratios=[3, 2, 3])
        bounded = [r for r in rows if "FLOP bound" in r.figures and r.table != "control"]
        _bars(bounded, speed, "stock time / our time (bar: median, line: lowest to highest round)")
        for name, mark in (("FLOP bound", "|"), ("token bound", ".")):
            values = [r.figures[name] for r in bounded]
            speed.plot(values, range(len(bounded)), linestyle="none", marker=mark, markersize=12, label=name)
        if bounded:
            speed.legend()
        updates = [r for r in rows if r.table.endswith("update")]
        _axes(updates, memory, "peak memory of the update, ours / stock")
        memory.barh(range(len(updates)), [r.figures["memory"] for r in updates], color="tab:green", alpha=0.6)
        whole = [r for r in rows if r.table == "step"]
        _bars(whole, steps, "time of a whole step / that of the one named after the stroke")
        figure.savefig(path, dpi=130, format="png")


def _axes(rows: list[Row], axes: Any, label: str) -> None:
    """A line for each row, and one across them all where the two sides are even."""
    names = [r.cell if r.table == "step" else f"{r.table.removeprefix('P:C: ')}: {r.cell}" for r in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel(label)


def _bars(rows: list[Row], axes: Any, label: str) -> None:
    _axes(rows, axes, label)
    for i, row in enumerate(rows):
        if row.ratio:
            colour = "tab:red" if row.failed else "tab:blue"
            axes.barh(i, row.ratio.median, color=colour, alpha=0.6)
            axes.plot([row.ratio.low, row.ratio.high], [i, i], color="black", linewidth=1)
