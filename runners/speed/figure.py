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
        above, middle, below = figure.subplots(3, 1, height_ratios=[3, 2, 3])
        _speed([r for r in rows if "FLOP bound" in r.figures and r.table != "control"], above)
        _memory([r for r in rows if r.table.endswith("update")], middle)
        _steps([r for r in rows if r.table == "step"], below)
        figure.savefig(path, dpi=130, format="png")


def _name(row: Row) -> str:
    return row.cell if row.table == "step" else f"{row.table.removeprefix('P:C: ')}: {row.cell}"


def _bars(rows: list[Row], axes: Any) -> None:
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.invert_yaxis()
    for i, row in enumerate(rows):
        if row.ratio:
            colour = "tab:red" if row.failed else "tab:blue"
            axes.barh(i, row.ratio.median, color=colour, alpha=0.6)
            axes.plot([row.ratio.low, row.ratio.high], [i, i], color="black", linewidth=1)


def _speed(rows: list[Row], axes: Any) -> None:
    _bars(rows, axes)
    for name, mark in (("FLOP bound", "|"), ("token bound", ".")):
        values = [r.figures[name] for r in rows]
        axes.plot(values, range(len(rows)), linestyle="none", marker=mark, markersize=12, label=name)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("stock time / our time (bar: median, line: lowest to highest round)")
    if rows:
        axes.legend()


def _memory(rows: list[Row], axes: Any) -> None:
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.invert_yaxis()
    axes.barh(range(len(rows)), [r.figures["memory"] for r in rows], color="tab:green", alpha=0.6)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("peak memory of the update, ours / stock")


def _steps(rows: list[Row], axes: Any) -> None:
    _bars(rows, axes)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("time of a whole step / that of the one named after the stroke")
