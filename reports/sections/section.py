"""What a section of the report is. The writers loop over sections and know none of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.figures.axes import Drawing
from reports.findings.table import Table
from reports.suite.read import Suite


@dataclass(frozen=True)
class Section:
    """One part of the report: computed once from the suite, then only printed.

    `compute` returns the section's data, or None where it does not apply. `html` is the text of a Jinja template that
    sees it as `data`; the `title` stands above. `json` gives named parts of report.json, `tables` what <key>.md, .tex
    and .csv (and, if ours and not wide, the terminal) show, `figures` the drawings of figures/ by file name.
    """

    key: str
    compute: Callable[[Suite], Any]
    html: str
    title: str
    json: Callable[[Any], Mapping[str, Any]] = lambda data: {}
    tables: Callable[[Any], Sequence[Table]] = lambda data: ()
    figures: Callable[[Any], Mapping[str, Drawing]] = lambda data: {}


def template(file: str) -> str:
    """The template beside a section's module: `template(__file__)`."""
    return Path(file).with_suffix(".html").read_text(encoding="utf-8")
