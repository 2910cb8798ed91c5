"""Every run and every evaluation of it: what became of it, and the command that repeats it."""

from dataclasses import dataclass
from typing import Any

from eval.benches import BENCHES
from reports.sections.section import Section, template
from reports.suite.read import Run, Suite
from reports.suite.records import Result

NAMED = ("method", "label", "seed", "status", "steps_done", "steps")


@dataclass(frozen=True)
class Runs:
    """`versions` holds each set of library versions with the runs that had it, `evaluations` run, bench and result."""

    runs: tuple[Run, ...]
    versions: list[tuple[str, str]]
    evaluations: list[tuple[str, str, Result, str]]


def _compute(suite: Suite) -> Runs:
    groups: dict[str, list[str]] = {}
    for run in suite.runs:
        versions = run.record.get("versions") or {}
        groups.setdefault(", ".join(f"{k} {v}" for k, v in sorted(versions.items())), []).append(run.name)
    evaluations = [
        (run.name, BENCHES[bench].label, result, _subscores(result.scores))
        for run in suite.runs
        for bench, result in run.results.items()
    ]
    versions = [(versions or "not recorded", ", ".join(names)) for versions, names in groups.items()]
    return Runs(suite.runs, versions, evaluations)


def _subscores(scores: dict[str, Any]) -> str:
    """The bench's own totals in one line; its many groups (`kind/group`) stay in report.json."""
    totals = {name: value for name, value in scores.items() if "/" not in name and value is not None}
    return ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in totals.items())


def _json(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        **{name: getattr(run, name) for name in NAMED},
        **{k: v for k, v in run.record.items() if k not in (*NAMED, "metrics")},
        "evaluated_step": run.eval_step,
        "results": {bench: result.model_dump(exclude={"leakage"}) for bench, result in run.results.items()},
        "leakage": {name: found.model_dump() for name, found in run.leakage.items()},
    }


RUNS = Section(
    "runs", _compute, template(__file__), "Runs", json=lambda data: {"runs": [_json(run) for run in data.runs]}
)
