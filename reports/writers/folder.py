"""Write a suite's report: everything is built beside its place and then swapped in whole."""

import re
from pathlib import Path

from eval.core import files
from eval.core.errors import UserError
from reports.figures.axes import standalone
from reports.findings.by_seed import FILE, csv
from reports.sections import SECTIONS
from reports.writers import json as report_json
from reports.writers.contents import Contents, collect
from reports.writers.html import render
from reports.writers.tables import WRITERS


def build(suite: Path, out: Path | None = None) -> Path:
    """Write report.{html,json}, seeds.csv, figures/ and <section>.{md,tex,csv} to `out` (<suite>/report).

    Returns the page. The same runs give the same bytes. Raises UserError for a folder that is no suite, for results
    that may not be compared, and for an `out` that cannot be written or holds something else.
    """
    target = suite / "report" if out is None else out
    _refuse_foreign(target.resolve())  # before the work
    return write(collect(suite), target)


def write(contents: Contents, out: Path) -> Path:
    """As `build`, of a suite that has been read already."""
    target = out.resolve()
    _refuse_foreign(target)
    parts = _files(contents)
    with files.replaced_folder(target) as fresh:
        for name, content in parts.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)
    return target / "report.html"


def _files(contents: Contents) -> dict[str, bytes]:
    texts = {"report.html": render(contents), "report.json": report_json.text(contents), FILE: csv(contents.suite)}
    for section, tables in contents.tables:
        for kind, write in WRITERS.items():
            texts[f"{section.key}.{kind}"] = write(section, tables)
    # A lone surrogate in some setting must not cost the whole report.
    parts = {name: text.encode("utf-8", errors="replace") for name, text in texts.items()}
    for section, data in contents.sections:
        for name, drawing in section.figures(data).items():
            stem = re.sub(r"[^\w-]", "_", name)  # names come from runs, and must not lead out of the folder
            parts[f"figures/{stem}.svg"] = standalone(drawing).encode("utf-8", errors="replace")
    return parts


def _refuse_foreign(target: Path) -> None:
    """The swap removes what was there, so it must be an earlier report or nothing."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; choose another --out")
    names = sorted(path.name for path in target.iterdir())
    ours = {
        "report.html",
        "report.json",
        "figures",
        FILE,
        *(f"{k}.{kind}" for k in SECTIONS for kind in ("md", "tex", "csv")),
    }
    foreign = [name for name in names if name not in ours]
    if foreign:
        raise UserError(f"{target} holds {foreign[0]}, which is no part of a report; choose another --out")
    if names and not _is_report(target / "report.json"):
        raise UserError(f"{target} does not hold a report of ours; choose another --out")


def _is_report(path: Path) -> bool:
    return (files.read_object(path) or {}).get("kind") == report_json.REPORT_KIND
