"""What was trained on what, and what a reader must know before comparing rows."""

from typing import Any

from reports.sections.section import Section, template
from reports.suite.comparable import warnings
from reports.suite.read import Suite
from reports.suite.rows import MINI_NOTE, editions, trained_runs

FACTS = {
    "Model": "model",
    "Training data": "data",
    "Preset": "preset",
    "Optimizer steps": "steps",
    "Seeds": "seed",
}


def _compute(suite: Suite) -> dict[str, Any]:
    """Facts over all trained runs; several values mean that runs differ."""
    records = [{**run.record, "steps": run.steps, "seed": run.seed} for run in trained_runs(suite) or suite.runs]
    values = {name: {str(r[key]) for r in records if r.get(key) is not None} for name, key in FACTS.items()}
    return {
        "facts": {name: ", ".join(sorted(found)) or "not recorded" for name, found in values.items()},
        "warnings": warnings(suite),
        "mini": MINI_NOTE if any(e.startswith("mini") for e in editions(suite).values()) else None,
    }


ABOUT = Section(
    "about",
    _compute,
    template(__file__),
    "What was compared",
    json=lambda data: {"warnings": data["warnings"]},
)
