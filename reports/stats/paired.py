"""Differences between methods on the same items: their intervals, their p values, and a table of all pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from reports.stats.bootstrap import REPLICATES, Luck, interval, replicates
from reports.stats.estimate import Estimate, covers
from reports.stats.grid import Array, Grid, grids, shared_seeds
from reports.stats.significance import holm, mcnemar
from reports.stats.spread import Seeds, Spread, seed_scores, spread


@dataclass(frozen=True)
class Difference:
    """a - b on one bench, or on the average over benches.

    `p` is two-sided (Spread.two_sided), `holm` the same corrected over the table's pairs in this column; `exact` is
    McNemar's where that is valid: one seed, one reply, a unit a cluster, no half credit. `spread`, p values and
    interval are None where a bench has a single cluster. Where all clusters differ alike, nothing can be resampled:
    there is no interval, and p is that of their signs.
    """

    estimate: Estimate
    spread: Spread | None = None
    p: float | None = None
    exact: float | None = None
    holm: float | None = None


@dataclass(frozen=True)
class Paired:
    """Method `a` against method `b`: the benches that both were asked, and the average where that is all of them."""

    a: str
    b: str
    benches: Mapping[str, Difference]
    average: Difference | None


def table(items: pd.DataFrame, rng: np.random.Generator, n: int = REPLICATES) -> list[Paired]:
    """All pairs of the methods of `items` (with a column `method`), the later one in the frame minus the earlier.

    Holm's correction is over the pairs of one column: those of the average are one family, each bench's another.
    Several thousand items of 26 methods take a few seconds. Raises ValueError where units differ between runs.
    """
    return all_pairs(grids(items), [str(method) for method in items["method"].unique()], rng, n)


def all_pairs(
    benches: Mapping[str, Grid], methods: Sequence[str], rng: np.random.Generator, n: int = REPLICATES
) -> list[Paired]:
    """As `table`, of benches that are arrays already."""
    if len(methods) < 2:
        return []
    draws = _Draws(benches, {bench: replicates(grid, rng, n) for bench, grid in benches.items()}, Luck(rng, n))
    columns = {bench: _column(draws, [bench]) for bench in benches}
    average = _column(draws, list(benches))
    pairs = []
    for b, a in combinations(methods, 2):
        each = {bench: found for bench, column in columns.items() if (found := _difference(draws, column, a, b))}
        pairs.append(Paired(a, b, each, _difference(draws, average, a, b)))
    return _corrected(pairs)


@dataclass(frozen=True, eq=False)
class _Draws:
    """Every bench's grid and its runs' resampled deviations (R, n), and the draws that stand for training again."""

    grids: Mapping[str, Grid]
    deviations: Mapping[str, Array]
    luck: Luck


@dataclass(frozen=True, eq=False)
class _Column:
    """The benches that are averaged (one, or all), each method's rows in them over the seeds that were asked all."""

    benches: Sequence[str]
    rows: Mapping[str, list[list[int]]]
    totals: Mapping[str, list[Array]]
    sizes: Sequence[Array]
    scores: Mapping[str, Array]
    seeds: Seeds


def _column(draws: _Draws, benches: list[str]) -> _Column:
    parts = [draws.grids[bench] for bench in benches]
    sizes = [grid.sizes_C for grid in parts]
    shared = shared_seeds(parts)
    rows = {method: [grid.rows(method, seeds) for grid in parts] for method, seeds in shared.items()}
    totals = {m: [grid.totals_RC[r] for grid, r in zip(parts, rows[m], strict=True)] for m in rows}
    scores = {method: seed_scores(totals[method], sizes) for method in totals}
    same = len({tuple(seeds) for seeds in shared.values() if len(seeds) > 1}) == 1
    return _Column(benches, rows, totals, sizes, scores, Seeds(scores, same))


def _difference(draws: _Draws, column: _Column, a: str, b: str) -> Difference | None:
    """None where a method has no seed that was asked all of the column's benches."""
    if a not in column.scores or b not in column.scores:
        return None
    counts = [len(column.scores[a]), len(column.scores[b])]
    by_seed = column.seeds.same and min(counts) > 1
    minus_b = [-totals_SC for totals_SC in column.totals[b]]
    sides = [column.totals[a], minus_b]
    if by_seed:
        sides = [[x + y for x, y in zip(*sides, strict=True)]]
    mean = float(column.scores[a].mean() - column.scores[b].mean())
    single = draws.grids[column.benches[0]] if len(column.benches) == 1 else None
    what = covers(len(column.benches), counts, by_seed)
    found = spread(sides, column.sizes)
    exact = _exact(single, column.rows[a][0], column.rows[b][0]) if single else None
    n = single.units if single else None
    if found is None:
        return Difference(Estimate(mean, None, n, min(counts), covers=what), exact=exact)
    variance, df = column.seeds.between(a, b)
    found = replace(found, between=variance, between_df=df)
    low = high = None
    if not found.none:
        low, high = interval(mean, _deviations(draws, column, a, b), draws.luck, found)
    estimate = Estimate(mean, found.stderr, n, min(counts), low, high, what)
    return Difference(estimate, found, _p(mean, found, sum(map(len, column.sizes))), exact)


def _p(mean: float, found: Spread, clusters: int) -> float:
    if abs(mean) < 1e-12:
        return 1.0
    return float(2.0 ** (1 - clusters)) if found.none else found.two_sided(mean)


def _deviations(draws: _Draws, column: _Column, a: str, b: str) -> Array:
    """How far the resampled items move a - b (n,)."""
    moved = np.zeros_like(draws.luck.normal)
    for bench, of_a, of_b in zip(column.benches, column.rows[a], column.rows[b], strict=True):
        resampled_Rn = draws.deviations[bench]
        moved += resampled_Rn[of_a].mean(axis=0) - resampled_Rn[of_b].mean(axis=0)
    return moved / len(column.benches)


def _exact(grid: Grid, of_a: Sequence[int], of_b: Sequence[int]) -> float | None:
    a, b = grid.values_RU[of_a], grid.values_RU[of_b]
    one_each = len(a) == len(b) == 1 and grid.single and grid.clusters == grid.units
    return mcnemar(a[0], b[0]) if one_each and np.isin([a, b], (0, 1)).all() else None


def _corrected(pairs: list[Paired]) -> list[Paired]:
    averages = holm([pair.average.p if pair.average else None for pair in pairs])
    benches = {bench for pair in pairs for bench in pair.benches}
    columns = {
        bench: holm([pair.benches[bench].p if bench in pair.benches else None for pair in pairs]) for bench in benches
    }
    return [
        replace(
            pair,
            average=replace(pair.average, holm=averages[i]) if pair.average else None,
            benches={bench: replace(found, holm=columns[bench][i]) for bench, found in pair.benches.items()},
        )
        for i, pair in enumerate(pairs)
    ]
