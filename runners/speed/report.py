"""The result: ratios, how equal their two sides are, and which targets they meet; as lines, a page and data."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from runners.speed.measure import Ratio

NOTES = {
    "counters": "One pass without gradient, counted.",
    "control": "Unequal inputs must be seen; without sharing, tokens and pictures must be as many as stock's.",
    "P:C: scoring": "Stock time / our time, without gradient, entropies included on both sides.",
    "P:C: update": "Stock time / our time, forward and backward; memory is ours / stock.",
    "sweep: update": "The same over group sizes, pictures and groups without a gradient.",
    "micro-batch 1: update": "The same with the rows of a group one by one, on both sides.",
    "step": "Time of a whole optimizer step / that of the one named after the stroke; below 1 is faster.",
    "trajectory": "The embedded model trained packed and row by row, on the same rollouts: how far the steps differ.",
    "vocabulary": "Time of the other / ours, loss and gradients; memory is ours / other.",
}


class Target(NamedTuple):
    """`value` should be at least, or at most, `limit`. A missed target is shown, and is no failure of the run."""

    what: str
    value: float
    relation: str
    limit: float

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.relation == ">=" else self.value <= self.limit


@dataclass(frozen=True)
class Row:
    """errors: how far the two sides are apart, each with the `limits` entry that it must not exceed; a row without any
    is no result. must_fail: of a negative control, whose errors have to exceed a limit."""

    table: str
    cell: str
    errors: dict[str, float]
    limits: dict[str, float]
    ratio: Ratio | None = None
    figures: dict[str, float] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    must_fail: bool = False

    @property
    def failed(self) -> bool:
        within = bool(self.errors) and all(error <= self.limits[name] for name, error in self.errors.items())
        return within if self.must_fail else not within  # NaN is within nothing

    @property
    def verdict(self) -> str:
        if self.failed:
            return "FAILED"
        return "fails, as it must" if self.must_fail else "equal"


def line(row: Row) -> str:
    """One row on one line of a terminal."""
    parts = [f"{row.table}: {row.cell}"]
    if row.ratio:
        parts.append(f"x{row.ratio.median:.2f} ({row.ratio.low:.2f}..{row.ratio.high:.2f})")
    parts += [f"{name} {error:.1e}" for name, error in row.errors.items()]
    parts += [_aim(target) for target in row.targets]
    return " | ".join([*parts, row.verdict])


def data(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [
        {
            **asdict(row),
            "verdict": row.verdict,
            "ratio": row.ratio and row.ratio._asdict(),
            "targets": [{**target._asdict(), "met": target.met} for target in row.targets],
        }
        for row in rows
    ]


def markdown(rows: list[Row], about: dict[str, Any], picture: str) -> str:
    parts = ["# Speed against stock TRL", ", ".join(f"{name}: {value}" for name, value in about.items())]
    parts.append("How to read this: docs/speed.md. A row is a result only where its two sides are equal.")
    missed = [_aim(t) + f" ({row.table}: {row.cell})" for row in rows for t in row.targets if not t.met]
    aims = sum(len(row.targets) for row in rows)
    parts.append(f"Targets met: {aims - len(missed)} of {aims}. Failed rows: {sum(row.failed for row in rows)}.")
    parts += ["\n".join(f"- {text}" for text in missed)] * bool(missed)
    parts.append(f"![speed-ups and their bounds]({picture})")
    for table in dict.fromkeys(row.table for row in rows):
        parts += [f"## {table}", NOTES[table], _table([row for row in rows if row.table == table])]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[Row]) -> str:
    errors = list(dict.fromkeys(name for row in rows for name in row.errors))
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    timed, aimed = any(row.ratio for row in rows), any(row.targets for row in rows)
    head = ["cell", *(["ratio (min..max)", "by clock", "seconds"] if timed else []), *errors, "equality", *figures]
    lines = [head + ["targets"] * aimed, ["---"] * (len(head) + aimed)]
    for row in rows:
        cells = [row.cell]
        if timed:
            cells += [""] * 3 if row.ratio is None else _timed(row.ratio)
        cells += [f"{row.errors[name]:.1e}" if name in row.errors else "" for name in errors]
        cells += [row.verdict, *(_figure(row.figures[name]) if name in row.figures else "" for name in figures)]
        lines.append(cells + ["; ".join(map(_aim, row.targets))] * aimed)
    return "\n".join("|---" * len(cells) + "|" if cells[0] == "---" else f"| {' | '.join(cells)} |" for cells in lines)


def _timed(r: Ratio) -> list[str]:
    return [f"**{r.median:.2f}** ({r.low:.2f}..{r.high:.2f})", f"{r.wall:.2f}", f"{r.above:.3g} / {r.below:.3g}"]


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _aim(target: Target) -> str:
    sign = "≥" if target.relation == ">=" else "≤"
    return f"{target.what} {target.value:.2f} {sign} {target.limit:.2f}: {'met' if target.met else 'MISSED'}"


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
