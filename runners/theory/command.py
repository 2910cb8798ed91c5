"""`cli.py theory`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import console, say


def theory(
    run: Annotated[
        Path | None, typer.Option(help="A run on drawn problems: measure what its teacher's references add.")
    ] = None,
    items: Annotated[int, typer.Option(help="Items whose references are enumerated (with --run).", min=1)] = 16,
) -> None:
    """Check the paper's theorems by exact enumeration, or measure the irreducible gap on a run's rollouts."""
    if run is not None:
        from runners.run.run_dir import RunDir
        from runners.theory.measured import measure

        opened = RunDir(run)
        opened.info()  # says so where the folder is no run
        for line in measure(opened, items):
            say(line)
        return
    from runners.theory.identities import TOLERANCE, checks

    found = checks()
    say(f"{'statement':<80} {'left':>15} {'right':>15} {'apart':>9} {'broken':>9}")
    for check in found:
        left, right = check.sides
        text = f"{check.name}: {check.statement}"
        say(f"{text:<80} {left:>15.12f} {right:>15.12f} {check.apart:>9.1e} {check.caught:>9.1e}")
        say(f"{'':<4}broken: {check.broken_by}")
    if failed := [check.name for check in found if not check.holds]:
        console.print(
            f"NOT EQUAL to {TOLERANCE:g}, or not told from its broken variant: {', '.join(failed)}", style="red"
        )
        raise typer.Exit(1)
    say(f"{len(found)} statements: both sides equal to {TOLERANCE:g}, every broken variant is told from it.")
