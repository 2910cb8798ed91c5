"""Held-out scores over training: every evaluated step that was asked the same questions, from the base on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from eval.benches import BENCHES
from reports.suite import paper
from reports.suite.read import Evaluated, Suite

ACCURACY = "held_out_accuracy"
Asked = tuple[tuple[str, int, str], ...]  # bench, units and edition


@dataclass(frozen=True)
class Panel:
    """A number over training: what stands beside its curves, and how they are drawn; shares, 0..1, in percent."""

    key: str
    title: str
    unit: str = ""
    help: str = ""
    smooth: bool = True
    from_zero: bool = True
    marked: bool = False

    @property
    def scale(self) -> float:
        return 100.0 if self.marked or self.unit.startswith("share") else 1.0

    @property
    def drawn_unit(self) -> str:
        return self.unit.replace("share", "%")


def held_out(suite: Suite) -> list[tuple[Panel, dict[str, pd.DataFrame]]]:
    """Accuracy, then a leakage rate a detector, each in 0..1 by method as a frame with a column a seed, by step.

    Nothing where no run was evaluated at two steps, the base being 0."""
    kind = _commonest(suite)
    if kind is None:
        return []
    benches = [bench for bench, _, _ in kind]
    which = f"the average of {len(benches)} benches" if len(benches) > 1 else BENCHES[benches[0]].label
    asked = ", ".join(f"{n} of {BENCHES[bench].label}" for bench, n, _ in kind)
    help = f"Score on questions that are in no training set ({asked}), at each evaluated step. Step 0 is the base."

    panel = Panel(ACCURACY, "Held-out accuracy", f"%, {which}", help, smooth=False, from_zero=False, marked=True)
    found = [(panel, _frames(suite, kind, lambda evaluated: fmean(evaluated.scores.values())))]
    labels = {d: leak.label for run in suite.runs for e in run.evaluated.values() for d, leak in e.leakage.items()}
    for detector, label in labels.items():
        key, title = f"held_out_leakage_{detector}", f"Held-out leakage: {detector}"
        help = f"Benchmark replies that {label}, at each evaluated step."
        panel = Panel(key, title, "% of replies", help, smooth=False, marked=True)
        found.append((panel, _frames(suite, kind, _rate(detector))))
    return [number for number in found if any(len(frame) > 1 for frame in number[1].values())]


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
        if e.scores.keys() == e.results.keys()
    )
    return max(kinds, key=lambda kind: (kinds[kind], len(kind)), default=None)


def _frames(suite: Suite, kind: Asked, read: Callable[[Evaluated], float | None]) -> dict[str, pd.DataFrame]:
    bases = {str(run.record.get("model")): run for run in suite.runs if run.method == paper.BASE and run.evaluated}
    found: dict[str, dict[int, pd.Series[float]]] = {}
    for run in suite.runs:
        if run.method == paper.BASE or run.external:
            continue
        base = bases.get(str(run.record.get("model")))
        steps = ({} if base is None else {0: base.last}) | run.evaluated
        values = {step: read(e) for step, e in steps.items() if _asked(e) == kind}
        if known := {step: value for step, value in values.items() if value is not None}:
            found.setdefault(run.method, {})[run.seed] = pd.Series(known)
    return {method: pd.DataFrame(columns).sort_index() for method, columns in found.items()}


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
