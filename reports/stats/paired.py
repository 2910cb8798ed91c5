"""Differences between methods on the same items: their intervals and p values, for all pairs of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from reports.stats.bootstrap import REPLICATES, Luck, interval, replicates
from reports.stats.estimate import Estimate, covers
from reports.stats.grid import Array, Grid, shared_seeds
from reports.stats.significance import holm, mcnemar
from reports.stats.spread import Seeds, Spread, seed_scores, spread

AVERAGE = "average"  # the column that is the mean over all benches


@dataclass(frozen=True)
class Difference:
    """a - b on one bench, or on the average over benches.

    `p` is two-sided (Spread.two_sided) and uncorrected, as the estimate's own is not; `exact` is McNemar's where that
    is valid: one seed, one reply, a unit a cluster, no half credit. `spread`, p values and interval are None where a
    bench has a single cluster. Where all clusters differ alike, nothing can be resampled: there is no interval, and p
    is that of their signs.
    """

    estimate: Estimate
    spread: Spread | None = None
    p: float | None = None
    exact: float | None = None


Pairs = dict[tuple[str, str], Difference]  # by methods (a, b)


def all_pairs(
    benches: Mapping[str, Grid], methods: Sequence[str], rng: np.random.Generator, n: int = REPLICATES
) -> dict[str, Pairs]:
    """By bench, and last for the AVERAGE over them: all pairs of methods, the later one minus the earlier.

    A column lacks the pairs of a method that has no seed which was asked all of its benches. Holm's correction is over
    the pairs of one column. Several thousand items of 26 methods take a few seconds.
    """
    if not benches or len(methods) < 2:
        return {}
    deviations = {bench: replicates(grid, rng, n) for bench, grid in benches.items()}
    luck = Luck(rng, n)
    found = {}
    for name, averaged in {**{bench: [bench] for bench in benches}, AVERAGE: list(benches)}.items():
        column = _column([benches[bench] for bench in averaged], [deviations[bench] for bench in averaged])
        asked = [method for method in methods if method in column.rows]
        pairs = {(a, b): _difference(column, luck, a, b) for b, a in combinations(asked, 2)}
        corrected = holm([each.p for each in pairs.values()])
        found[name] = {
            names: replace(each, estimate=replace(each.estimate, p=p))
            for (names, each), p in zip(pairs.items(), corrected, strict=True)
        }
    return found


@dataclass(frozen=True, eq=False)
class _Column:
    """The benches that are averaged (one, or all) with their runs' resampled deviations (R, n); of each method its rows
    and totals in them, over the seeds that were asked all."""

    grids: Sequence[Grid]
    deviations: Sequence[Array]
    rows: Mapping[str, list[list[int]]]
    totals: Mapping[str, list[Array]]
    seeds: Seeds


def _column(parts: list[Grid], deviations: list[Array]) -> _Column:
    shared = shared_seeds(parts)
    rows = {method: [grid.rows(method, seeds) for grid in parts] for method, seeds in shared.items()}
    totals = {m: [grid.totals_RC[r] for grid, r in zip(parts, rows[m], strict=True)] for m in rows}
    scores = {method: seed_scores(totals[method], [grid.sizes_C for grid in parts]) for method in totals}
    same = len({tuple(seeds) for seeds in shared.values() if len(seeds) > 1}) == 1
    return _Column(parts, deviations, rows, totals, Seeds(scores, same))


def _difference(column: _Column, luck: Luck, a: str, b: str) -> Difference:
    scores = column.seeds.scores
    counts = [len(scores[a]), len(scores[b])]
    by_seed = column.seeds.same and min(counts) > 1
    minus_b = [-totals_SC for totals_SC in column.totals[b]]
    sides = [column.totals[a], minus_b]
    if by_seed:
        sides = [[x + y for x, y in zip(*sides, strict=True)]]
    mean = float(scores[a].mean() - scores[b].mean())
    sizes = [grid.sizes_C for grid in column.grids]
    single = column.grids[0] if len(column.grids) == 1 else None
    what = covers(len(column.grids), counts, by_seed)
    found = spread(sides, sizes)
    exact = _exact(single, column.rows[a][0], column.rows[b][0]) if single else None
    n = single.units if single else None
    if found is None:
        return Difference(Estimate(mean, None, n, min(counts), covers=what), exact=exact)
    variance, df = column.seeds.between(a, b)
    found = replace(found, between=variance, between_df=df)
    low = high = None
    if not found.none:
        low, high = interval(mean, _deviations(column, a, b), luck, found)
    estimate = Estimate(mean, found.stderr, n, min(counts), low, high, what)
    return Difference(estimate, found, _p(mean, found, sum(map(len, sizes))), exact)


def _p(mean: float, found: Spread, clusters: int) -> float:
    if abs(mean) < 1e-12:
        return 1.0
    return float(2.0 ** (1 - clusters)) if found.none else found.two_sided(mean)


def _deviations(column: _Column, a: str, b: str) -> Array:
    """How far the resampled items move a - b (n,)."""
    moved = [
        resampled_Rn[of_a].mean(axis=0) - resampled_Rn[of_b].mean(axis=0)
        for resampled_Rn, of_a, of_b in zip(column.deviations, column.rows[a], column.rows[b], strict=True)
    ]
    return np.mean(moved, axis=0)


def _exact(grid: Grid, of_a: Sequence[int], of_b: Sequence[int]) -> float | None:
    a, b = grid.values_RU[of_a], grid.values_RU[of_b]
    one_each = len(a) == len(b) == 1 and grid.single and grid.clusters == grid.units
    return mcnemar(a[0], b[0]) if one_each and np.isin([a, b], (0, 1)).all() else None
