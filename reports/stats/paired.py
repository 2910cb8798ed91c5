"""Differences between methods on the same items: their intervals, their p values, and a table of all pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from reports.stats.bootstrap import REPLICATES, interval, replicates
from reports.stats.estimate import Estimate, covers
from reports.stats.grid import Array, Grid, grids
from reports.stats.significance import holm, mcnemar
from reports.stats.spread import Spread, spread, two_sided


@dataclass(frozen=True)
class Difference:
    """a - b on one bench, or on the average over benches.

    `p` is two-sided, of Student's test on `df` degrees of freedom (Satterthwaite's); `holm` the same corrected over
    the table's pairs in this column; `exact` McNemar's where that is valid: one seed, one reply, a unit a cluster,
    no half credit. p values and interval are None where a bench has a single cluster; the interval also where all
    items differ alike, as nothing can be resampled then.
    """

    estimate: Estimate
    df: float | None = None
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


def compare(
    items_a: pd.DataFrame,
    items_b: pd.DataFrame,
    rng: np.random.Generator,
    names: tuple[str, str] = ("a", "b"),
    n: int = REPLICATES,
) -> Paired:
    """a - b from two frames of items (columns: reports.stats.grid). Raises ValueError where their units differ."""
    a, b = names
    both = pd.concat([items_b.assign(method=b), items_a.assign(method=a)], ignore_index=True)
    return table(both, rng, n)[0]


def table(items: pd.DataFrame, rng: np.random.Generator, n: int = REPLICATES) -> list[Paired]:
    """All pairs of the methods of `items` (with a column `method`), the later one in the frame minus the earlier.

    Holm's correction is over the pairs of one column: those of the average are one family, each bench's another.
    Several thousand items of 26 methods take a few seconds. Raises ValueError where units differ between runs.
    """
    found = grids(items)
    draws = _Draws(found, {bench: replicates(grid, rng, n) for bench, grid in found.items()}, rng.standard_normal(n))
    pairs = []
    for b, a in combinations(items["method"].astype(str).unique(), 2):
        benches = {bench: difference for bench in found if (difference := _difference(draws, [bench], a, b))}
        pairs.append(Paired(a, b, benches, _difference(draws, list(found), a, b)))
    return _corrected(pairs)


@dataclass(frozen=True, eq=False)
class _Draws:
    """Every bench's grid, its runs' resampled deviations (R, n), and n standard normal draws for training's part."""

    grids: Mapping[str, Grid]
    deviations: Mapping[str, Array]
    normal: Array


def _difference(draws: _Draws, benches: list[str], a: str, b: str) -> Difference | None:
    """On the mean of `benches`, over the seeds that were asked all of them; None where a method has no such seed."""
    parts = [draws.grids[bench] for bench in benches]
    seeds = {method: sorted(set.intersection(*(grid.seeds(method) for grid in parts))) for method in (a, b)}
    if not seeds[a] or not seeds[b]:
        return None
    rows = {method: [grid.rows(method, seeds[method]) for grid in parts] for method in (a, b)}
    totals = {m: [grid.totals_RC[r] for grid, r in zip(parts, rows[m], strict=True)] for m in (a, b)}
    by_seed = seeds[a] == seeds[b] and len(seeds[a]) > 1
    minus_b = [-totals_SC for totals_SC in totals[b]]
    sides = [[x + y for x, y in zip(totals[a], minus_b, strict=True)]] if by_seed else [totals[a], minus_b]
    spreads = spread(sides, [grid.sizes_C for grid in parts])
    scores = {
        m: np.mean([t.sum(axis=1).mean() / g.sizes_C.sum() for t, g in zip(totals[m], parts, strict=True)])
        for m in (a, b)
    }
    mean = float(scores[a] - scores[b])
    counts = [len(seeds[a]), len(seeds[b])]
    estimate = Estimate(
        mean,
        None if spreads is None else spreads.stderr,
        parts[0].units if len(parts) == 1 else None,
        min(counts),
        covers=covers(len(parts), counts, by_seed),
    )
    exact = _exact(parts[0], rows[a][0], rows[b][0]) if len(parts) == 1 else None
    if spreads is None:
        return Difference(estimate, exact=exact)
    p = two_sided(mean, spreads, sum(grid.clusters for grid in parts))
    if spreads.stderr > 1e-12:
        low, high = _interval(draws, benches, rows[a], rows[b], mean, spreads)
        estimate = replace(estimate, low=low, high=high)
    return Difference(estimate, spreads.df, p, exact)


def _interval(
    draws: _Draws, benches: list[str], rows_a: list[list[int]], rows_b: list[list[int]], mean: float, found: Spread
) -> tuple[float, float]:
    deviations = np.zeros_like(draws.normal)
    for bench, of_a, of_b in zip(benches, rows_a, rows_b, strict=True):
        resampled_Rn = draws.deviations[bench]
        deviations += resampled_Rn[of_a].mean(axis=0) - resampled_Rn[of_b].mean(axis=0)
    return interval(mean, deviations / len(benches), draws.normal, found)


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
