"""Rates of rare things, such as leakage: intervals within 0..1, by cluster, and bounds where nothing was found."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from reports.stats.estimate import Estimate
from reports.stats.grid import Array, grids, pooled
from reports.stats.spread import spread

RATE_COVERS = "95 %, Wilson's: other items, whole clusters at a time, and other replies to them"
BOUND_COVERS = (
    "One-sided 95 %, exact: {} of n items (counted in clusters) showed it, so with 95 % confidence its rate is no {} "
    "than this. Not covered: training again."
)
Z = float(special.ndtri(0.975))


def wilson(rate: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate 0..1 among n independent draws; n may be an effective, broken number."""
    middle = (rate + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def at_most(n: int) -> float:
    """The highest rate at which 0 of n independent draws still come up in 5 % of cases: 0 of 308 is at most 1.0 %."""
    return float(1 - 0.05 ** (1 / n))


def rate(items: pd.DataFrame) -> Estimate:
    """The mean of all replies' values 0 or 1 over benches and seeds of one method (columns: reports.stats.grid).

    The error is by cluster and two-way with seeds. Wilson's interval is of as many independent draws as would give
    that error (the design effect of Korn & Graubard 1998, with their correction for few clusters), no more than
    there are replies. `n` counts the replies of one evaluation. A rate of 0 or 1 has no error but a bound.
    """
    grid = grids(pooled(items))["all"]
    mean, seeds = float(grid.values_RU.mean()), len(grid.runs)
    n = round(len(items) / seeds)
    training = f"; and training again ({seeds} seeds)." if seeds > 1 else ". Not covered: training again (one seed)."
    if mean in (0.0, 1.0):
        bound = at_most(grid.clusters)
        low, high, words = (0.0, bound, ("none", "higher")) if mean == 0 else (1 - bound, 1.0, ("all", "lower"))
        # A bound knows nothing of seeds: they answer the same items, so they are not counted as more draws.
        return Estimate(mean, None, n, seeds, low, high, BOUND_COVERS.format(*words))
    found = spread([[grid.totals_RC]], [grid.sizes_C])
    if found is None or found.none:
        return Estimate(mean, None, n, seeds, covers=RATE_COVERS + training)
    replies = len(items)
    effective = mean * (1 - mean) / found.stderr**2 * replies / (replies - 1)
    few = (special.stdtrit(replies - 1, 0.975) / special.stdtrit(found.df, 0.975)) ** 2
    low, high = wilson(mean, min(replies, effective * few))
    return Estimate(mean, found.stderr, n, seeds, low, high, RATE_COVERS + training)


def between_kinds(values: Array, kind: NDArray[np.bool_], clusters: Sequence[str]) -> Estimate:
    """Mean of the values (N,) of one kind of reply (`kind` true) minus that of the other, such as leaking and clean.

    The kinds are not drawn but found among the same replies, so the error is that of a difference of two ratios,
    by cluster, both means taken as estimates. It has no error where a kind's values are all the same, as three wrong
    replies are: no spread is seen in them. Neither kind may be absent.
    """
    other = np.logical_not(kind)
    means = values[kind].mean(), values[other].mean()
    influence = np.where(kind, (values - means[0]) / kind.sum(), -(values - means[1]) / other.sum())
    codes, names = pd.factorize(np.asarray(clusters))
    groups, mean = len(names), float(means[0] - means[1])
    text = (
        "95 %, Student's t: other items, whole clusters at a time, and other replies to them. Not covered: training "
        "again; and what makes a reply of one kind may also make it right or wrong."
    )
    alike = any(np.ptp(values[side]) == 0 for side in (kind, other))
    if groups < 2 or alike:
        return Estimate(mean, None, len(values), 1, covers=text)
    error = sqrt(groups / (groups - 1) * float((np.bincount(codes, influence) ** 2).sum()))
    reach = float(special.stdtrit(groups - 1, 0.975)) * error
    return Estimate(mean, error, len(values), 1, mean - reach, mean + reach, text)
