"""The result as a page of tables, as data and as a figure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.core import files
from runners.speed.figure import draw
from runners.speed.result import Row, Target

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


def line(row: Row) -> str:
    """One row on one line of a terminal."""
    parts = [f"{row.table}: {row.cell}"]
    if row.ratio:
        parts.append(f"x{row.ratio.median:.2f} ({row.ratio.low:.2f}..{row.ratio.high:.2f})")
    parts += [f"{name} {error:.1e}" for name, error in row.errors.items()]
    parts += [_aim(target) for target in row.targets]
    return " | ".join([*parts, row.verdict])


def write(rows: list[Row], about: dict[str, Any], stem: Path) -> Path:
    """`stem`.json, .md and .png; returns the page."""
    data = [{**asdict(row), "verdict": row.verdict, "targets": [_told(t) for t in row.targets]} for row in rows]
    for entry, row in zip(data, rows, strict=True):
        entry["ratio"] = row.ratio and row.ratio._asdict()
    facts, page, picture = (stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "md", "png"))
    told = json.dumps({"about": about, "rows": data}, indent=1) + "\n"
    files.write_all({facts: told, page: markdown(rows, about, picture.name)})
    with files.replaced(picture) as [half]:
        draw(rows, half)
    return page


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
    timed = ["ratio (min..max)", "by clock", "seconds"] if any(row.ratio for row in rows) else []
    head = ["cell", *timed, *errors, "equality", *figures, *(["targets"] if any(row.targets for row in rows) else [])]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row.cell]
        if timed and row.ratio:
            r = row.ratio
            cells += [
                f"**{r.median:.2f}** ({r.low:.2f}..{r.high:.2f})",
                f"{r.wall:.2f}",
                f"{r.above:.3g} / {r.below:.3g}",
            ]
        elif timed:
            cells += [""] * 3
        cells += [f"{row.errors[name]:.1e}" if name in row.errors else "" for name in errors]
        cells.append(row.verdict)
        cells += [_figure(row.figures[name]) if name in row.figures else "" for name in figures]
        if "targets" in head:
            cells.append("; ".join(_aim(target) for target in row.targets))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _aim(target: Target) -> str:
    sign = "≥" if target.relation == ">=" else "≤"
    return f"{target.what} {target.value:.2f} {sign} {target.limit:.2f}: {'met' if target.met else 'MISSED'}"


def _told(target: Target) -> dict[str, Any]:
    return {**target._asdict(), "met": target.met}
