"""`cli.py watch` and `doctor`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import console, say


def watch(
    suite: Annotated[Path, typer.Argument(help="Folder of a suite, for example runs/default.")],
    once: Annotated[bool, typer.Option("--once", help="Say where it stands and exit.")] = False,
) -> None:
    """A suite while it runs, from its files alone: bars on a terminal, else lines. Ends when nothing runs."""
    from runners.check.watch import watch_suite

    watch_suite(suite, console, once)


def methods() -> None:
    """Table 1 of the paper from what the methods here declare."""
    from runners.check.paradigms import table

    console.print(table())


def doctor(
    preset: Annotated[str, typer.Option(help="The preset whose model and data are looked for.")] = "cpu",
) -> None:
    """What this machine has for a run: versions, devices, disk, model, data, prompts. Exits 1 where something lacks."""
    from runners.check.doctor import checks

    failed = 0
    for name, fault, found in checks(preset):
        failed += fault
        say(f"{'FAULT' if fault else 'ok':<6} {name:<10} {found}")
    if failed:
        raise typer.Exit(1)
