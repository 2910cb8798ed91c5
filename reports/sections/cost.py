"""What the runs cost: steps, tokens, time and memory, as far as they recorded them."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from reports.sections.section import Section, template
from reports.suite.read import Run, Suite
from reports.suite.records import Result
from reports.suite.rows import row_labels


@dataclass(frozen=True)
class Cost:
    """Means over seeds; None where it was not recorded. Seconds are of the wall clock, GiB the highest of any step."""

    label: str
    seeds: int
    steps: float | None
    tokens: float | None
    seconds: float | None
    seconds_a_step: float | None
    gib: float | None
    eval_seconds: float | None
    eval_tokens: float | None

    @property
    def shown(self) -> list[str]:
        return [
            _count(self.steps),
            _count(self.tokens),
            _time(self.seconds),
            "–" if self.seconds_a_step is None else f"{self.seconds_a_step:.2f} s",
            "–" if self.gib is None else f"{self.gib:.1f} GiB",
            _time(self.eval_seconds),
            _count(self.eval_tokens),
        ]


def cost(suite: Suite) -> list[Cost] | None:
    found = [_cost(suite, method, label) for method, label in row_labels(suite).items()]
    return found if any(each.seconds or each.eval_seconds for each in found) else None


def _cost(suite: Suite, method: str, label: str) -> Cost:
    runs = [run for run in suite.runs if run.method == method]
    rows = suite.metrics[suite.metrics["method"] == method]
    seeds = [part for _, part in rows.groupby("seed")]
    seconds = [_of(part, "seconds", "sum") for part in seeds]
    steps = [float(part["step"].max()) for part in seeds]
    memory = [name for name in rows if "memory" in str(name) and rows[name].notna().any()]
    return Cost(
        label=label,
        seeds=len(runs),
        steps=_mean(steps),
        tokens=_mean([_of(part, "tokens", "max") for part in seeds]),
        seconds=_mean(seconds),
        seconds_a_step=_mean([s / n for s, n in zip(seconds, steps, strict=True) if s is not None and n]),
        gib=float(rows[memory[0]].max()) if memory else None,
        eval_seconds=_mean([_total(run, lambda result: result.seconds) for run in runs if run.results]),
        eval_tokens=_mean([_total(run, lambda result: result.all_tokens) for run in runs if run.results]),
    )


def _of(part: pd.DataFrame, name: str, what: str) -> float | None:
    return float(part[name].agg(what)) if name in part and part[name].notna().any() else None


def _mean(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _total(run: Run, of: Callable[[Result], float | None]) -> float | None:
    """Over all benches of the last evaluation."""
    found = [of(result) for result in run.results.values()]
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _count(value: float | None) -> str:
    if value is None:
        return "–"
    for least, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= least:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


COST = Section(
    "cost", cost, template(__file__), "What it cost", json=lambda data: {"cost": [vars(each) for each in data]}
)
