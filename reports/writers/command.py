"""`cli.py report`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import console, say


def report(
    suite: Annotated[Path, typer.Argument(help="Folder of a suite, for example runs/default.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; default <suite>/report.")] = None,
) -> None:
    """Table 2, training dynamics, leakage and what differs between the runs, as one HTML page and files."""
    write_report(suite, out)


def write_report(suite: Path, out: Path | None = None) -> None:
    """The page and its files in `out`, by default the suite's own `report`, and Table 2 on the terminal."""
    from reports.writers import contents, folder, terminal

    found = contents.collect(suite)
    page = folder.write(found, out or suite / "report")
    console.print(terminal.terminal_table(found))
    say(f"report: {page}")
