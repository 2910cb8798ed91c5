"""Write a suite's report: everything is built beside its place and then swapped in whole."""

from __future__ import annotations

import json
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from eval.core import files
from eval.core.errors import UserError
from reports.figures.plots import figure_files
from reports.sections.table2 import COLUMNS, percent
from reports.writers.html import render
from reports.writers.json import REPORT_KIND, Contents, as_json, collect
from reports.writers.tables import latex, markdown, our_title, tidy_csv

FILES = (
    "report.html",
    "table2.md",
    "table2.tex",
    "table2.csv",
    "report.json",
    "figures",
)


def build(suite: Path, out: Path | None = None) -> Path:
    """Write report.html, table2.{md,tex,csv}, report.json and figures/ to `out` (<suite>/report); returns the page.

    The same runs give the same bytes. Raises UserError for a folder that is no suite, for results that may not be
    compared, and for an `out` that cannot be written or holds something else.
    """
    contents = collect(suite)
    target = (suite / "report" if out is None else out).resolve()
    _refuse_foreign(target)
    parts = _files(contents)
    with files.replaced_folder(target) as fresh:
        for name, content in parts.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)
    return target / "report.html"


def _files(contents: Contents) -> dict[str, bytes]:
    name, table = contents.suite.name, contents.table
    figures = figure_files(contents.suite.metrics, contents.leakage, contents.labels)
    texts = {
        "report.html": render(contents, figures.get("leakage_evaluated.svg")),
        "table2.md": markdown(name, table),
        "table2.tex": latex(name, table),
        "table2.csv": tidy_csv(table),
        "report.json": json.dumps(as_json(contents), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    # A lone surrogate in some setting must not cost the whole report.
    encoded = {file: text.encode("utf-8", errors="replace") for file, text in texts.items()}
    return encoded | {f"figures/{file}": content for file, content in figures.items()}


def _refuse_foreign(target: Path) -> None:
    """The swap removes what was there, so it must be an earlier report or nothing."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; choose another --out")
    names = sorted(path.name for path in target.iterdir())
    foreign = [name for name in names if name not in FILES]
    if foreign:
        raise UserError(f"{target} holds {foreign[0]}, which is no part of a report; choose another --out")
    if names and not _is_report(target / "report.json"):
        raise UserError(f"{target} does not hold a report of ours; choose another --out")


def _is_report(path: Path) -> bool:
    return (files.read_object(path) or {}).get("kind") == REPORT_KIND


def terminal_table(suite: Path) -> Table:
    """Table 2 and leakage as 80 columns of terminal; raises what `build` raises for the suite."""
    contents = collect(suite)
    table = contents.table
    notes = [
        *table.notes(),
        "± one standard error; Leakage: % of replies that mention a reference they never saw.",
    ]
    title = escape("Table 2. " + our_title(contents.suite.name, table))
    # The box's own separators are gap enough; any padding would push eight columns past 80 characters.
    shown = Table(title=title, caption=" ".join(notes), box=box.SIMPLE_HEAD, padding=0)
    shown.add_column("")
    for column in COLUMNS:
        shown.add_column(table.column_label(column).replace(" ", "\n"), justify="right", no_wrap=True)
    shown.add_column("Leakage", justify="right", no_wrap=True)
    for row, leak in zip(table.rows, contents.leakage, strict=True):
        cells = [*(row.cells[column] for column in COLUMNS), leak.rate]
        shown.add_row(escape(row.shown_label), *(percent(cell).replace(" ± ", "±") for cell in cells))
    return shown
