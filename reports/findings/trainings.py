"""Differences where training is the population: one score a seed, whatever items it stands on."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from statistics import fmean

from eval.benches import BENCHES
from reports.stats.estimate import Estimate
from reports.stats.significance import between_trainings, holm
from reports.suite.paper import AVERAGE
from reports.suite.read import Run, Suite
from reports.suite.rows import reported_runs, row_labels


def trainings(suite: Suite, column: str) -> dict[tuple[str, str], Estimate]:
    """Later row minus earlier, by (later, earlier), of the methods with several seeds; `p` corrected over all pairs."""
    scores = {method: _scores(reported_runs(suite, method), column) for method in row_labels(suite)}
    several = {method: found for method, found in scores.items() if len(found) > 1}
    pairs = {(a, b): between_trainings(several[a], several[b]) for b, a in combinations(several, 2)}
    corrected = holm([p for _, p in pairs.values()])
    return {names: replace(found, p=p) for (names, (found, _)), p in zip(pairs.items(), corrected, strict=True)}


def _scores(runs: list[Run], column: str) -> dict[int, float]:
    found = {run.seed: _score(run, column) for run in runs}
    return {seed: score for seed, score in found.items() if score is not None}


def _score(run: Run, column: str) -> float | None:
    benches = list(BENCHES) if column == AVERAGE else [column]
    scores = [run.results[bench].score for bench in benches if bench in run.results]
    known = [score for score in scores if score is not None]
    return fmean(known) if len(known) == len(benches) else None
