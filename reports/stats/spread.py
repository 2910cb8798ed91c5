"""The error of a mean over items and training seeds, both of them drawn: two-way, with nothing counted twice.

Model, for the value of item i under seed s: mean + seed effect + item effect + their interaction, the last holding
the luck of sampled replies. With S seeds and I items the mean's variance is

    seed / S + item / I + interaction / (S I).

The variance of the items' means over seeds estimates the last two parts, the variance between the seeds' scores
(/ S) the first and the last; the interaction, counted twice by their sum, is taken off once. Its mean square is that
of a two-way analysis of variance, on cluster totals, so that clusters may differ in size.

Two or three seeds say little about how much seeds differ, and a pair whose seeds happen to agree must not pass for
a sure one. So tests and intervals draw the variance between seeds from what is plausible, nu * found / chi2(nu), and
not only its estimate (a generalised pivotal quantity, Weerahandi 1993); a table pools it over its methods (`Seeds`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import special  # scipy.stats takes ten times as long for a single quantile

from reports.stats.grid import Array

# Chances that p values are averaged over, dense towards 0, where chi2 is small and the tails of p are made.
_ROOTS = (np.arange(400) + 0.5) / 400
_CHANCES, _WEIGHTS = _ROOTS**4, _ROOTS**3 / np.sum(_ROOTS**3)


@cache
def _chi2(df: int) -> Array:
    return 2 * special.gammaincinv(df / 2, _CHANCES)


@dataclass(frozen=True)
class Spread:
    """Variances of one mean. `items` is over items and replies, `between` over seeds with the luck of replies in it,
    `interaction` that luck alone; each with its degrees of freedom. `between_df` is 0 where training is not covered.
    """

    items: float
    items_df: float
    between: float = 0.0
    between_df: int = 0
    interaction: float = 0.0

    @property
    def stderr(self) -> float:
        return math.sqrt(self.items + max(0.0, self.between - self.interaction))

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom of the whole."""
        parts = [(self.items, self.items_df), (self.between, self.between_df)]
        squares = sum(variance**2 / df for variance, df in parts if df)
        return self.stderr**4 / squares if squares else math.inf

    @property
    def none(self) -> bool:
        """No two clusters differ: nothing can be resampled."""
        return self.items < 1e-24

    def training(self, chi2: Array) -> Array:
        """Plausible variances that training again adds, one for each draw of chi2 with `between_df` degrees."""
        return np.maximum(0.0, self.between * self.between_df / chi2 - self.interaction)

    def two_sided(self, difference: float) -> float:
        """The p value of a difference: Student's with one seed, else averaged over the plausible training variances.

        With a training variance taken as known, the items' estimated part is the smaller, the larger that is: degrees
        of freedom are Satterthwaite's.
        """
        total = np.array([self.items])
        weights = np.ones(1)
        if self.between_df:
            total, weights = self.items + self.training(_chi2(self.between_df)), _WEIGHTS
        df = np.minimum(self.items_df * (total / self.items) ** 2, 1e9)
        return float(2 * special.stdtr(df, -abs(difference) / np.sqrt(total)) @ weights)


@dataclass(frozen=True)
class Seeds:
    """How much training again moves scores: each method's scores (S,), one a seed, in the order of the seeds.

    `same` where all methods with several seeds have the same ones, and so the same data in the same order: their
    differences are then taken seed by seed. Variances are pooled over the methods that are `steady`, as one pair's own
    rests on too little. A pair that is less steady than those by an F test at 5 % stands on its own seeds: it must not
    pass for steady. (To take the larger of both always makes intervals a fifth too wide with two seeds.)
    """

    scores: Mapping[str, Array]
    same: bool

    def between(self, a: str, b: str) -> tuple[float, int]:
        """The variance of the mean of a - b between seeds, and its degrees of freedom; 0, 0 where both have one seed.

        A method with one seed is taken as it was trained and adds nothing.
        """
        trained = [self.scores[method] for method in (a, b) if len(self.scores[method]) > 1]
        if not trained:
            return 0.0, 0
        pool = list(self.steady.values())
        unsteady = any(len(self.scores[method]) > 1 and method not in self.steady for method in (a, b))
        if len(trained) == 2 and self.same:
            seeds = len(trained[0])
            own, df = float((trained[0] - trained[1]).var()) * seeds, seeds - 1
            squares, whole_df = _two_way(pool)
            variance, df = (own / df, df) if unsteady else _pooled(own, df, 2 * squares, whole_df)
            return variance / seeds, df
        own, df = _within(trained)
        variance, df = (own / df, df) if unsteady else _pooled(own, df, *_within(pool))
        return sum(variance / len(scores) for scores in trained), df

    @cached_property
    def steady(self) -> dict[str, Array]:
        """The methods with several seeds but for those that come apart, which say nothing of how the others do: the
        worst is left out as long as it is less steady than all the rest together by an F test at 5 % over them."""
        left = {method: scores for method, scores in self.scores.items() if len(scores) > 1}
        while len(left) > 3:  # a pair alone may happen to agree
            found = {}
            for method in left:
                rest = [scores for other, scores in left.items() if other != method]
                if self.same:
                    apart = left[method] - np.mean(rest, axis=0)
                    own, df = float(apart.var()) * len(apart) * len(rest) / len(left), len(apart) - 1
                    squares, rest_df = _two_way(rest)
                else:
                    own, df = _within([left[method]])
                    squares, rest_df = _within(rest)
                limit = special.fdtri(df, rest_df, 1 - 0.05 / len(left)) * squares / rest_df
                found[method] = own / df - limit
            worst = max(found, key=lambda method: found[method])
            if found[worst] <= 0:
                break
            del left[worst]
        return left


def _two_way(table: Sequence[Array]) -> tuple[float, int]:
    """Squares that methods' means and seeds' means leave of scores (methods, seeds), and their degrees of freedom."""
    table_MS = np.array(table)
    residuals = table_MS - table_MS.mean(axis=1, keepdims=True)
    residuals = residuals - residuals.mean(axis=0)
    return float((residuals**2).sum()), (len(table_MS) - 1) * (table_MS.shape[1] - 1)


def _within(table: Sequence[Array]) -> tuple[float, int]:
    """The same about each method's own mean, where seeds are not the same."""
    return sum(float(scores.var()) * len(scores) for scores in table), sum(len(scores) - 1 for scores in table)


def _pooled(own: float, own_df: int, squares: float, df: int) -> tuple[float, int]:
    """The variance that sums of squares give and its degrees of freedom: of all, or the own part alone where that is
    larger than the rest's by more than chance."""
    rest = df - own_df
    if rest and own / own_df > special.fdtri(own_df, rest, 0.95) * max(0.0, squares - own) / rest:
        return own / own_df, own_df
    return squares / df, df


def spread(sides: Sequence[Sequence[Array]], sizes: Sequence[Array]) -> Spread | None:
    """The spread of the mean over benches of a sum over sides; None where a bench has one cluster.

    `sides[k][b]` are the totals (S, C) of side k in bench b, each seed a row, with the sign that they enter with;
    `sizes[b]` are the units (C,) of its clusters. A side of one seed adds nothing to `between`.
    """
    if any(len(size) < 2 for size in sizes):
        return None
    weight = 1 / len(sizes) ** 2
    per_bench = [
        weight * _item_variance(sum(side[b].mean(axis=0) for side in sides), size) for b, size in enumerate(sizes)
    ]
    items = sum(per_bench)
    squares = sum(v * v / (len(size) - 1) for v, size in zip(per_bench, sizes, strict=True))
    between = interaction = 0.0
    df = 0
    for side in sides:
        seeds = len(side[0])
        if seeds > 1:
            between += float(seed_scores(side, sizes).var(ddof=1)) / seeds
            df += seeds - 1
            interaction += weight * sum(_interaction(totals, size) for totals, size in zip(side, sizes, strict=True))
    return Spread(items, items**2 / squares if squares else math.inf, between, df, interaction)


def seed_scores(totals: Sequence[Array], sizes: Sequence[Array]) -> Array:
    """Each seed's mean over benches of its score (S,)."""
    return np.mean([t.sum(axis=1) / size.sum() for t, size in zip(totals, sizes, strict=True)], axis=0)


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
