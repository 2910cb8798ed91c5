"""Write a suite's report: everything is built beside its place and then swapped in whole."""

import json
import re
from pathlib import Path
from typing import Any

from eval.core import files
from eval.core.errors import UserError
from reports.figures.axes import standalone
from reports.findings.by_seed import FILE, csv
from reports.sections import SECTIONS
from reports.writers.contents import Contents
from reports.writers.html import render
from reports.writers.tables import WRITERS

REPORT_KIND = "report of post-training runs"  # how a later build knows that report.json is its own


def write(contents: Contents, out: Path) -> Path:
    """Write report.{html,json}, seeds.csv, figures/ and <section>.{md,tex,csv} to `out`; returns the page.

    The same runs give the same bytes. Raises UserError for an `out` that cannot be written or holds something else.
    """
    target = out.resolve()
    refuse_foreign(target)
    parts = _files(contents)
    with files.replaced_folder(target) as fresh:
        for name, content in parts.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)
    return target / "report.html"


def _files(contents: Contents) -> dict[str, bytes]:
    texts = {"report.html": render(contents), "report.json": report_json(contents), FILE: csv(contents.suite)}
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


def report_json(contents: Contents) -> str:
    """The numbers of the page. Scores and rates lie in 0..1."""
    numbers: dict[str, Any] = {"kind": REPORT_KIND, "suite": contents.suite.name}
    for section, data in contents.sections:
        numbers |= section.json(data)
    # JSON knows no NaN, and runs may have recorded one.
    strict = json.loads(json.dumps(numbers), parse_constant=lambda _: None)
    return json.dumps(strict, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def refuse_foreign(target: Path) -> None:
    """The swap removes what was there, so it must be an earlier report or nothing."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; choose another --out")
    names = sorted(path.name for path in target.iterdir())
    ours = {"report.html", "report.json", "figures", FILE, *(f"{key}.{kind}" for key in SECTIONS for kind in WRITERS)}
    foreign = [name for name in names if name not in ours]
    if foreign:
        raise UserError(f"{target} holds {foreign[0]}, which is no part of a report; choose another --out")
    if names and (files.read_object(target / "report.json") or {}).get("kind") != REPORT_KIND:
        raise UserError(f"{target} does not hold a report of ours; choose another --out")
