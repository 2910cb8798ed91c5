"""Tests: exact McNemar, Student and Welch over seeds, and Holm's correction for a table of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special  # scipy.stats takes half a second to import

from reports.stats.estimate import Estimate
from reports.stats.grid import Array

TRAINING_ONLY = (
    "95 %, Student's t: training again with another seed, on these very items. Not covered: other items. "
    "Replies were sampled once a seed, and their luck is part of what differs between seeds."
)


def mcnemar(a_U: Array, b_U: Array) -> float:
    """Exact two-sided p that two methods are right equally often, from right (1) or wrong (0) on the same units.

    Units that are draws of their own, one reply each: only those where the methods differ count, as fair coins.
    Raises ValueError for any other value, such as a half credit.
    """
    if not (np.isin(a_U, (0, 1)).all() and np.isin(b_U, (0, 1)).all()):
        raise ValueError("McNemar's test is for right or wrong, without half credits or means")
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


def student(scores: Sequence[float]) -> Estimate:
    """The mean score over trainings with its 95 % interval, of one score a seed; a single seed has no error."""
    mean = float(np.mean(scores))
    if len(scores) < 2:
        return Estimate(mean, None, None, len(scores), covers=TRAINING_ONLY)
    return _students(mean, float(np.std(scores, ddof=1)) / math.sqrt(len(scores)), len(scores) - 1, len(scores))[0]


def student_paired(a: Sequence[float], b: Sequence[float]) -> tuple[Estimate, float | None]:
    """Mean difference a - b seed by seed (same seeds, same order) and Student's p; None for it with one seed."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2:
        return student(differences), None
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    return _students(float(np.mean(differences)), error, len(differences) - 1, len(differences))


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
