"""Differences where training is the population: one score a seed, whatever items it stands on."""

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
    """By seed, the mean over the column's benches, of the runs that have a score on all of them."""
    benches = list(BENCHES) if column == AVERAGE else [column]
    found = {}
    for run in runs:
        scores = [result.score for bench, result in run.results.items() if bench in benches]
        known = [score for score in scores if score is not None]
        if len(known) == len(benches):
            found[run.seed] = fmean(known)
    return found
