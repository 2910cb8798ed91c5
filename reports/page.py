"""report.html: one file that needs nothing else. Everything from runs and replies passes through autoescape."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reports import paper
from reports.contents import Contents
from reports.leakage import LEAKAGE_MEANING
from reports.load import BASE, BENCHES, Run
from reports.plots import drawable, page_panels, page_swatches, window
from reports.stats.estimate import STDERR_MEANING
from reports.tables import COLUMNS, percent
from reports.writers import PAPER_COLUMNS, PAPER_TITLE, our_title


def _image(content: bytes, kind: str = "svg+xml") -> Markup:
    # base64 holds no character that HTML could read as markup.
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}")


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _subscores(scores: dict[str, Any]) -> str:
    """The bench's own totals in one line; its many groups (`kind/group`) stay in report.json."""
    totals = {name: value for name, value in scores.items() if "/" not in name and value is not None}
    return ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in totals.items())


def render(contents: Contents, leakage_svg: bytes | None) -> str:
    """The page as text; `leakage_svg` is the evaluated-leakage figure, None where no run has one."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "rate": _rate, "subscores": _subscores}
    suite, table = contents.suite, contents.table
    metrics, panels = suite.metrics, page_panels(suite.metrics, contents.labels)
    return environment.get_template("template.html").render(
        contents=contents,
        table=table,
        columns=COLUMNS,
        benches=BENCHES,
        title=our_title(suite.name, table),
        stderr_meaning=STDERR_MEANING,
        facts=_facts(suite.runs),
        summaries=[(row.label, paper.SUMMARIES[row.method]) for row in table.rows if row.method in paper.SUMMARIES],
        paper=paper,
        paper_title=PAPER_TITLE,
        paper_columns=PAPER_COLUMNS,
        leakage_meaning=LEAKAGE_MEANING,
        leakage_image=None if leakage_svg is None else _image(leakage_svg),
        panels=[(panel, _image(panels[panel.key])) for panel in drawable(metrics)],
        swatches=[(label, _image(svg)) for label, svg in page_swatches(metrics, contents.labels).items()],
        window=window(metrics),
        version_groups=_version_groups(suite.runs),
        difference_labels=[row.label for row in table.rows if row.label in contents.parameters],
    )


def _facts(runs: tuple[Run, ...]) -> list[tuple[str, str]]:
    """What was trained on what, over all trained runs; several values mean that runs differ."""
    trained = [run for run in runs if run.method != BASE] or list(runs)

    def values(found: list[Any]) -> str:
        return ", ".join(sorted({str(v) for v in found if v is not None})) or "not recorded"

    return [
        ("Model", values([run.record.get("model") for run in trained])),
        ("Training data", values([run.record.get("data") for run in trained])),
        ("Preset", values([run.record.get("preset") for run in trained])),
        ("Optimizer steps", values([run.steps for run in trained])),
        ("Seeds", values([run.seed for run in trained])),
    ]


def _version_groups(runs: tuple[Run, ...]) -> list[tuple[str, str]]:
    """Each set of library versions with the runs that had it."""
    groups: dict[str, list[str]] = {}
    for run in runs:
        versions = run.record.get("versions") or {}
        groups.setdefault(", ".join(f"{k} {v}" for k, v in sorted(versions.items())), []).append(run.name)
    return [(versions or "not recorded", ", ".join(names)) for versions, names in groups.items()]
