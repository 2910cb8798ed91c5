"""Everything that the report says, computed once; the page, the tables and report.json only print it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reports.figures.plots import curve, drawable, window
from reports.sections.leakage import LEAKAGE_MEANING, LeakageRow, leakage_rows
from reports.sections.settings import Difference, method_parameters, setting_differences
from reports.sections.table2 import COLUMNS, Table2, table2
from reports.stats.estimate import STDERR_MEANING, Estimate
from reports.suite import paper
from reports.suite.comparable import require_comparable, warnings
from reports.suite.read import Run, Suite, load_suite

REPORT_KIND = "report of post-training runs"  # how a later build knows that report.json is its own


@dataclass(frozen=True, eq=False)
class Contents:
    suite: Suite
    table: Table2
    leakage: list[LeakageRow]
    differences: list[Difference]
    parameters: dict[str, dict[str, str]]
    warnings: list[str]

    @property
    def labels(self) -> dict[str, str]:
        return {row.method: row.label for row in self.table.rows}


def collect(folder: Path) -> Contents:
    """Read and compute; raises UserError where `folder` is no suite or its runs were graded in different ways."""
    suite = load_suite(folder)
    require_comparable(suite.runs)
    return Contents(
        suite=suite,
        table=table2(suite),
        leakage=leakage_rows(suite),
        differences=setting_differences(suite),
        parameters=method_parameters(suite),
        warnings=warnings(suite),
    )


def as_json(contents: Contents) -> dict[str, Any]:
    """The numbers of the page. Scores and rates lie in 0..1 here, curves in the unit that stands beside them."""
    table = contents.table
    numbers = {
        "kind": REPORT_KIND,
        "suite": contents.suite.name,
        "editions": table.editions,
        "stderr": STDERR_MEANING,
        "table2": [
            {
                "method": row.method,
                "label": row.label,
                "finished": row.finished,
                "cells": {column: _estimate(row.cells[column]) for column in COLUMNS},
            }
            for row in table.rows
        ],
        "paper": {
            "source": paper.SOURCE,
            "model": paper.MODEL,
            "data": paper.DATA,
            "percent": {m: dict(zip(paper.COLUMNS, values, strict=True)) for m, values in paper.PERCENT.items()},
        },
        "leakage": {
            "meaning": LEAKAGE_MEANING,
            "rows": [
                {
                    "method": row.method,
                    "label": row.label,
                    **_estimate(row.rate),
                    "phrases": dict(row.phrases),
                }
                for row in contents.leakage
            ],
        },
        "dynamics": _dynamics(contents),
        "differences": [asdict(difference) for difference in contents.differences],
        "parameters": contents.parameters,
        "runs": [_run(run) for run in contents.suite.runs],
        "warnings": contents.warnings,
    }
    return {key: _strict(value) for key, value in numbers.items()}


def _strict(value: Any) -> Any:
    """JSON knows no NaN, and runs may have recorded one."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _estimate(cell: Estimate | None) -> dict[str, Any]:
    if cell is None:
        return {"mean": None, "stderr": None, "n": None, "seeds": 0}
    return {"mean": cell.mean, "stderr": cell.stderr, "n": cell.n, "seeds": cell.seeds}


def _dynamics(contents: Contents) -> dict[str, Any]:
    metrics, panels = contents.suite.metrics, {}
    for panel in drawable(metrics):
        methods = {}
        for method in contents.labels:
            seeds, mean = curve(metrics, method, panel)
            if len(seeds):
                methods[method] = {
                    "steps": [int(step) for step in seeds.index],
                    "seeds": {str(seed): _numbers(seeds[seed]) for seed in seeds},
                    "mean": _numbers(mean.reindex(seeds.index)),
                }
        panels[panel.key] = {
            "unit": panel.unit,
            "mean_smoothed": panel.smooth,
            "methods": methods,
        }
    return {"smoothing_window_steps": window(metrics), "panels": panels}


def _numbers(values: Any) -> list[float]:
    """Ten digits: beyond them lie the summation orders of different libraries."""
    return [float(f"{v:.10g}") for v in values]


def _run(run: Run) -> dict[str, Any]:
    record = {
        k: v for k, v in run.record.items() if k not in ("method", "label", "seed", "status", "steps_done", "steps")
    }
    return {
        "name": run.name,
        "method": run.method,
        "label": run.label,
        "seed": run.seed,
        "status": run.status,
        "steps_done": run.steps_done,
        "steps": run.steps,
        **record,
        "evaluated_step": run.eval_step,
        "results": {bench: asdict(result) for bench, result in run.results.items()},
        "leakage": None if run.leakage is None else asdict(run.leakage),
    }
