"""The commands that read runs and write reports. They import what they need inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import console, say


def report(
    suite: Annotated[Path, typer.Argument(help="Folder of a suite, for example runs/default.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default <suite>/report, with --filter <suite>/report-filtered.")
    ] = None,
    filter: Annotated[
        list[str], typer.Option("--filter", help="Only these runs: method=grpo,rlsd, seed=0,1 or variant=official.")
    ] = [],  # noqa: B006
    row: Annotated[
        list[str],
        typer.Option("--row", help="One row more: NAME=FOLDER, a run of another suite or an eval --model folder."),
    ] = [],  # noqa: B006
) -> None:
    """The verdict, Table 2, leakage, training and replies of a suite, as one HTML page and files."""
    write_report(suite, out, filter, row)


def write_report(
    suite: Path, out: Path | None = None, filters: list[str] | None = None, rows: list[str] | None = None
) -> None:
    """The page and its files in `out`, by default the suite's own `report`, and Table 2 on the terminal."""
    from reports.suite.select import selected
    from reports.writers import contents, folder, terminal

    place = out or suite / ("report-filtered" if filters else "report")
    folder.refuse_foreign(place)  # before the work
    found = contents.collect(suite, selected(filters or [], rows or []))
    page = folder.write(found, place)
    console.print(terminal.terminal_table(found))
    say(f"report: {page}")


def compare(
    a: Annotated[Path, typer.Argument(help="A run directory.")],
    b: Annotated[Path, typer.Argument(help="Another run directory.")],
) -> None:
    """Two runs: settings that differ, paired differences of their scores, and the items that flipped."""
    from reports.writers.compare import compared

    for part in list(compared(a, b)):
        say(part) if isinstance(part, str) else console.print(part)


def replies(
    run: Annotated[Path, typer.Argument(help="A run directory; its last evaluation is read.")],
    bench: Annotated[str | None, typer.Option(help="Only one bench.")] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only wrong replies.")] = False,
    leaking: Annotated[
        bool, typer.Option("--leaking", help="Only replies in which a detector found something.")
    ] = False,
) -> None:
    """The replies of a run, one after another: in a pager on a terminal, else as plain text."""
    import pydoc

    from reports.writers.browse import browsed

    pydoc.pager("".join(browsed(run, bench, wrong, leaking)) or "No reply fits.\n")


def paper(
    item: Annotated[str, typer.Argument(help="table2, table3, fig1a, fig1b, fig3a, fig3b, fig3c, fig5a … c or fig6.")],
    suite: Annotated[Path, typer.Argument(help="Folder of a suite.")],
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path("paper"),
    filter: Annotated[list[str], typer.Option("--filter", help="As for `report`.")] = [],  # noqa: B006
) -> None:
    """One table or figure of the RLSD paper from your runs, as files for a paper. Table 1: `cli.py methods`."""
    from reports.suite.read import load_suite
    from reports.suite.select import selected
    from reports.writers.items import write_item

    for path in write_item(item, selected(filter, [])(load_suite(suite)), out):
        say(f"written: {path}")


def claims(
    folders: Annotated[list[Path], typer.Argument(help="Suites, or reports of suites: results/study-mini.")],
) -> None:
    """What the RLSD paper claims, tested over training seeds on your runs: held, not held, or not to be said."""
    from reports.writers.claims import claims_text

    say(claims_text(folders))
