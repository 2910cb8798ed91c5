"""Held-out scores over training: every evaluated step that was asked the same questions, from the base on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from eval.benches import BENCHES
from reports.suite import paper
from reports.suite.read import Evaluated, Run, Suite

ACCURACY = "held_out_accuracy"
Asked = tuple[tuple[str, int, str], ...]  # bench, units and edition


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One number of the evaluated steps, in 0..1: by method a frame with a column a seed, by step; and what it is."""

    key: str
    title: str
    unit: str
    help: str
    from_zero: bool
    methods: dict[str, pd.DataFrame]


def held_out(suite: Suite) -> list[HeldOut]:
    """Accuracy, then a leakage rate a detector; nothing where no run was evaluated at two steps (the base is step 0)."""
    kind = _commonest(suite)
    if kind is None:
        return []
    benches = [bench for bench, _, _ in kind]
    which = f"the average of {len(benches)} benches" if len(benches) > 1 else BENCHES[benches[0]].label
    found = [
        _number(
            suite,
            kind,
            ACCURACY,
            "Held-out accuracy",
            f"% , {which}".replace(" ,", ","),
            f"Score on questions that are in no training set ({', '.join(f'{n} of {BENCHES[b].label}' for b, n, _ in kind)}), "
            "at each evaluated step. Step 0 is the base.",
            lambda e: fmean(score for bench in benches if (score := e.results[bench].score) is not None),
        )
    ]
    labels = {d: leak.label for run in suite.runs for e in run.evaluated.values() for d, leak in e.leakage.items()}
    for detector, label in labels.items():
        rate = _rate(detector)
        found.append(
            _number(
                suite,
                kind,
                f"held_out_leakage_{detector}",
                f"Held-out leakage: {detector}",
                "% of replies",
                f"Benchmark replies that {label}, at each evaluated step.",
                rate,
            )
        )
    return [number for number in found if any(len(frame) > 1 for frame in number.methods.values())]


def _rate(detector: str) -> Callable[[Evaluated], float | None]:
    return lambda e: e.leakage[detector].rate if detector in e.leakage else None


def _asked(evaluated: Evaluated) -> Asked:
    return tuple((bench, result.n, result.edition) for bench, result in evaluated.results.items())


def _commonest(suite: Suite) -> Asked | None:
    """What most evaluated steps of trained runs were asked, every bench with a score."""
    kinds = Counter(
        _asked(e)
        for run in suite.runs
        if run.method != paper.BASE
        for e in run.evaluated.values()
        if all(result.score is not None for result in e.results.values())
    )
    return max(kinds, key=lambda kind: (kinds[kind], len(kind)), default=None)


def _number(
    suite: Suite, kind: Asked, key: str, title: str, unit: str, help: str, read: Callable[[Evaluated], float | None]
) -> HeldOut:
    start = {str(run.record.get("model")): run for run in suite.runs if run.method == paper.BASE}
    methods = dict.fromkeys(run.method for run in suite.runs if run.method != paper.BASE)
    frames = {}
    for method in methods:
        columns = {}
        for run in (run for run in suite.runs if run.method == method):
            steps = {0: e for e in _start(start.get(str(run.record.get("model"))))} | run.evaluated
            values = {step: read(e) for step, e in steps.items() if _asked(e) == kind}
            if known := {step: value for step, value in values.items() if value is not None}:
                columns[run.seed] = pd.Series(known)
        if columns:
            frames[method] = pd.DataFrame(columns).sort_index()
    return HeldOut(key, title, unit, help, key != ACCURACY, frames)


def _start(base: Run | None) -> list[Evaluated]:
    return [base.last] if base is not None and base.evaluated else []


def reached(means: dict[str, pd.Series[float]]) -> tuple[float, dict[str, int | None]] | None:
    """GRPO's last value, and the first step at which each method has it.

    None without GRPO, without others, and where GRPO has it from its first step on: then it tells nothing.
    """
    if paper.PLAIN not in means or len(means) < 2 or means[paper.PLAIN].dropna().empty:
        return None
    target = float(means[paper.PLAIN].dropna().iloc[-1])
    found: dict[str, int | None] = {}
    for method, mean in means.items():
        steps = [int(step) for step in mean.index[mean >= target].astype(int) if step > 0]
        found[method] = min(steps, default=None)
    start = min(step for step in means[paper.PLAIN].index if step > 0)
    return None if found[paper.PLAIN] == start else (target, found)
