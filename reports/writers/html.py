"""report.html: one file that needs nothing else. Everything from runs and replies passes through autoescape."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.figures.axes import STYLE
from reports.findings.table import Table, chance, interval, percent, points
from reports.findings.words import share
from reports.sections.section import Section
from reports.writers.contents import Contents
from reports.writers.tables import WRITERS

HERE = Path(__file__).parent
KINDS = {"md": "Markdown", "tex": "LaTeX", "csv": "CSV"}
COPIED = ("table2",)  # sections whose tables can be copied from the page; every table lies beside it as a file


def render(contents: Contents) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"rate": share, "percent": percent, "points": points, "interval": interval, "chance": chance}
    tables = {section.key: _copies(section, found) for section, found in contents.tables if section.key in COPIED}
    shown = [
        {
            "key": section.key,
            "title": section.title,
            "html": Markup(environment.from_string(section.html).render(data=data)),
            "copies": tables.get(section.key, ()),
        }
        for section, data in contents.sections
    ]
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("template.html").render(
        name=contents.suite.name, sections=shown, style=Markup(STYLE + style), script=Markup(script)
    )


def _copies(section: Section, tables: Sequence[Table]) -> list[tuple[str, str]]:
    ours = [table for table in tables if table.source == "ours"]
    return [(name, WRITERS[kind](section, ours)) for kind, name in KINDS.items()]
