"""The error of a mean over items and training seeds, both of them drawn: two-way, with nothing counted twice.

Model, for the value of item i under seed s: mean + seed effect + item effect + their interaction, the last holding
the luck of sampled replies. With S seeds and I items the mean's variance is

    seed / S + item / I + interaction / (S I).

The variance of the items' means over seeds estimates the last two parts, the variance between the seeds' scores
(/ S) the first and the last; the interaction, counted twice by their sum, is taken off once. Its mean square is that
of a two-way analysis of variance, on cluster totals, so that clusters may differ in size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.stats.grid import Array


@dataclass(frozen=True)
class Spread:
    """Variances of one mean: over items (and replies), and what training again adds. `df` is Satterthwaite's."""

    items: float
    training: float
    df: float

    @property
    def stderr(self) -> float:
        return math.sqrt(self.items + self.training)


def spread(sides: Sequence[Sequence[Array]], sizes: Sequence[Array]) -> Spread | None:
    """The spread of the mean over benches of a sum over sides; None where a bench has one cluster.

    `sides[k][b]` are the totals (S, C) of side k in bench b, each seed a row, with the sign that they enter with;
    `sizes[b]` are the units (C,) of its clusters. A difference seed by seed is one side; methods whose seeds have
    nothing to do with each other are two. A side of one seed has no training part: it is taken as it was trained.
    """
    if any(len(size) < 2 for size in sizes):
        return None
    weight = 1 / len(sizes) ** 2
    per_bench = [
        weight * _item_variance(sum(side[b].mean(axis=0) for side in sides), size) for b, size in enumerate(sizes)
    ]
    items = sum(per_bench)
    training, squares = 0.0, sum(v * v / (len(size) - 1) for v, size in zip(per_bench, sizes, strict=True))
    for side in sides:
        seeds = len(side[0])
        if seeds < 2:
            continue
        scores = np.mean([totals.sum(axis=1) / size.sum() for totals, size in zip(side, sizes, strict=True)], axis=0)
        between = float(scores.var(ddof=1)) / seeds
        interaction = weight * sum(_interaction(totals, size) for totals, size in zip(side, sizes, strict=True))
        training += max(0.0, between - interaction)
        squares += between**2 / (seeds - 1)
    total = items + training
    return Spread(items, training, total**2 / squares if squares else math.inf)


def widening(df: float) -> float:
    """How much wider than with known variances a 95 % interval must be: Student's quantile over the normal one."""
    return float(stats.t.ppf(0.975, df) / stats.norm.ppf(0.975))


def two_sided(difference: float, found: Spread, clusters: int) -> float:
    """The p value of Student's test of a difference; where all clusters differ alike, that of their signs."""
    if difference == 0:
        return 1.0
    if found.stderr < 1e-12:  # no spread at all: only how many clusters agree can be counted
        return float(2.0 ** (1 - clusters))
    return float(2 * stats.t.sf(abs(difference) / found.stderr, found.df))


def _item_variance(totals_C: Array, sizes_C: Array) -> float:
    """As eval's standard error, squared: G / (G - 1) times the clusters' squared residuals, over the units squared."""
    n, groups = sizes_C.sum(), len(sizes_C)
    residuals = totals_C - sizes_C * totals_C.sum() / n
    return float(groups / (groups - 1) * (residuals**2).sum() / n**2)


def _interaction(totals_SC: Array, sizes_C: Array) -> float:
    n, (seeds, groups) = sizes_C.sum(), totals_SC.shape
    residuals = totals_SC - sizes_C * totals_SC.sum(axis=1, keepdims=True) / n
    residuals = residuals - residuals.mean(axis=0)
    mean_square = (residuals**2).sum() / ((seeds - 1) * (groups - 1))
    return float(groups * mean_square / seeds / n**2)
