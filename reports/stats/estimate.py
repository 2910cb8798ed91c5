"""Means over seeds and their standard errors. The paired tests belong here too once they exist."""

import math
from dataclasses import dataclass
from statistics import fmean, variance

STDERR_MEANING = (
    "± is one standard error. With one seed it covers the sampling of a bench's items in one evaluation, and nothing "
    "about training again. With several seeds the cell is their mean, and ± adds in squares the item part (the mean "
    "squared standard error of the seeds' evaluations; not divided by the number of seeds, as all seeds answer the "
    "same items) and the seed part (variance between seeds / number of seeds). Where every item is right, or every one "
    "wrong, the formula gives ± 0.0 and understates. The average weighs its benches equally "
    "and takes their item parts as independent. Rows share their items, so two overlapping ± are no test of a "
    "difference; no cell is marked as best."
)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, 0..1. `n` counts the items of one evaluation, `stderr` is None where it is not known."""

    mean: float
    stderr: float | None
    n: int | None
    seeds: int


def over_seeds(scores: list[float], stderrs: list[float | None], n: int | None) -> Estimate:
    """Mean of one score per seed; see STDERR_MEANING for the standard error. `scores` must not be empty."""
    seed_part = variance(scores) / len(scores) if len(scores) > 1 else 0.0
    known = [s for s in stderrs if s is not None]
    if len(known) < len(stderrs):
        return Estimate(fmean(scores), None, n, len(scores))
    item_part = fmean(s * s for s in known)
    return Estimate(fmean(scores), math.sqrt(item_part + seed_part), n, len(scores))


def over_benches(scores: list[float], stderrs: list[float | None]) -> tuple[float, float | None]:
    """Unweighted mean of one evaluation's benches, and its standard error if the benches' items are independent."""
    known = [s for s in stderrs if s is not None]
    if len(known) < len(stderrs):
        return fmean(scores), None
    return fmean(scores), math.sqrt(sum(s * s for s in known)) / len(known)
