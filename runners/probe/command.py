"""`cli.py probe`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.errors import UserError
from eval.core.terminal import say

SHOWN = "{label:<20} {value:>7} ± {stderr:<7} {unit}"


def probe(
    run: Annotated[Path, typer.Option(help="A run directory: its last checkpoint is probed.")],
    probes: Annotated[str, typer.Option(help="all, or comma-separated: told_gap, no_picture, canary …")] = "all",
    items: Annotated[int, typer.Option(help="Items of each kind.", min=2)] = 32,
    samples: Annotated[int, typer.Option(help="Replies to each prompt.", min=1)] = 3,
) -> None:
    """Leakage that only the model shows: told and untold, other pictures, planted codes and wrong answers."""
    from eval.core.files import read_object
    from runners.probe.probes import PROBES
    from runners.probe.run import probe as measure
    from runners.run.run_dir import RunDir

    names = tuple(PROBES) if probes == "all" else tuple(probes.split(","))
    if unknown := [name for name in names if name not in PROBES]:
        raise UserError(f"unknown probe {unknown[0]!r}: choose from {', '.join(PROBES)}")
    opened = RunDir(run)
    opened.info()  # says so where the folder is no run
    path = measure(opened, names, items, samples)
    for name, found in (read_object(path) or {}).items():
        if name in PROBES:
            value, stderr = (found["value"][key] for key in ("value", "stderr"))
            shown = ["–" if x is None else f"{x:.3f}" for x in (value, stderr)]
            say(SHOWN.format(label=found["label"], unit=found["unit"], value=shown[0], stderr=shown[1]))
    say(f"probes: {path}")
