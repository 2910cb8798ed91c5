"""Tests: exact McNemar, Student and Welch over seeds, and Holm's correction for a table of them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special  # scipy.stats takes half a second to import

from reports.stats.estimate import Estimate
from reports.stats.grid import Array

TRAINING_ONLY = (
    "95 %, Student's t: training again with another seed, on these very items. Not covered: other items. "
    "Replies were sampled once a seed, and their luck is part of what differs between seeds."
)
PAIRS = 3
PAIRING = (
    "Student's test seed by seed where two sides share three seeds, or all that one of them has; else Welch's over all "
    "seeds of both"
)


def mcnemar(a_U: Array, b_U: Array) -> float:
    """Exact two-sided p that two methods are right equally often, from right (1) or wrong (0) on the same units.

    Units that are draws of their own, one reply each: only those where the methods differ count, as fair coins.
    """
    only_a, only_b = int((a_U > b_U).sum()), int((a_U < b_U).sum())
    # The binomial test with fair coins; scipy.stats.binomtest takes long for a table of many pairs.
    return min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values, in the order given: below .05 where the family-wise error stays below it. None stays.

    The k-th smallest of m is multiplied by m - k + 1, and none is smaller than one before it (Holm 1979).
    """
    known = sorted((value, i) for i, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[i] = largest
    return adjusted


def student(values: Sequence[float]) -> tuple[Estimate, float | None]:
    """The mean of one value a seed with its 95 % interval, and Student's p of its being none; one seed has neither."""
    mean, seeds = float(np.mean(values)), len(values)
    if seeds < 2:
        return Estimate(mean, None, None, seeds, covers=TRAINING_ONLY), None
    return _students(mean, float(np.std(values, ddof=1)) / math.sqrt(seeds), seeds - 1, seeds)


def between_trainings(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[Estimate, float | None]:
    """The difference a - b of one value a seed each, and its p, as PAIRING says: what the seeds are decides, never
    what they gave. Runs of one seed saw the same data in the same order, so that their difference is the steadier;
    with fewer pairs than that, runs left out would cost more than pairing brings. Neither side may be empty."""
    shared = sorted(a.keys() & b.keys())
    if len(shared) >= PAIRS or len(shared) == min(len(a), len(b)):
        return student([a[seed] - b[seed] for seed in shared])
    return welch(list(a.values()), list(b.values()))


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[Estimate, float | None]:
    """Difference a - b of means over seeds that have nothing to do with each other, and Welch's p."""
    mean = float(np.mean(a) - np.mean(b))
    seeds = min(len(a), len(b))
    if seeds < 2:
        return Estimate(mean, None, None, seeds, covers=TRAINING_ONLY), None
    parts = [(float(np.var(side, ddof=1)) / len(side), len(side) - 1) for side in (a, b)]
    variance = sum(part for part, _ in parts)
    df = variance**2 / sum(part**2 / df for part, df in parts) if variance else 1.0
    return _students(mean, math.sqrt(variance), df, seeds)


def _students(mean: float, error: float, df: float, seeds: int) -> tuple[Estimate, float | None]:
    """The interval and the two-sided p; no test where every seed gave the same."""
    if error < 1e-12:
        return Estimate(mean, error, None, seeds, covers=TRAINING_ONLY), None
    reach = float(special.stdtrit(df, 0.975)) * error
    p = float(2 * special.stdtr(df, -abs(mean) / error))
    return Estimate(mean, error, None, seeds, mean - reach, mean + reach, TRAINING_ONLY), p
