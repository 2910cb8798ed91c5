"""report.html: one file that needs nothing else. Everything from runs and replies passes through autoescape."""

import base64
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.figures.picture import Drawing, pictures
from reports.sections.table import chance, interval, percent, points
from reports.writers.contents import Contents


def _image(drawing: Drawing) -> Markup:
    (svg,) = pictures(drawing, "svg")
    # base64 holds no character that HTML could read as markup.
    return Markup(f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}")


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def render(contents: Contents) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"image": _image, "rate": _rate}
    environment.filters |= {"percent": percent, "points": points, "interval": interval, "chance": chance}
    shown = [
        {
            "key": section.key,
            "title": section.title,
            "html": Markup(environment.from_string(section.html).render(data=data)),
        }
        for section, data in contents.sections
    ]
    return environment.get_template("template.html").render(name=contents.name, sections=shown)
