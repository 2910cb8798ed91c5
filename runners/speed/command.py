"""`cli.py bench speed`. Imports what it needs inside, so that `--help` is instant."""

import os
from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import console, say

bench_app = typer.Typer(no_args_is_help=True, help="Measure this suite itself.")


@bench_app.command()
def speed(
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    quick: Annotated[bool, typer.Option(help="Small cells without targets, about two minutes.")] = False,
    out: Annotated[Path, typer.Option(help="Where speed-<machine>.{json,md,png} are written.")] = Path("results"),
) -> None:
    """Time, memory and equality against stock TRL on random models. Exits 1 where two sides are not equal."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from runners.speed.run import run

    rows = run(device, quick, out, say)
    if failed := [row for row in rows if row.failed]:
        console.print(f"FAILED: {len(failed)} of {len(rows)} rows", style="red")
        raise typer.Exit(1)
