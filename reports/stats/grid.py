"""Items as arrays: what every unit of a bench is worth in every run, and what is resampled as a whole.

An `items` frame has one row a reply (or one a unit, where replies have been averaged before), with the columns

    bench    whose units these are
    unit     what the bench's denominator counts: a question, a sub-question, a problem
    cluster  the units that a reader would not call independent draws: ZeroBench's sub-questions of one picture;
             everywhere else the unit itself (We-Math's unit is a problem, so its rows are in one unit already)
    seed     of the training run
    value    0..1: right or wrong, a half credit of We-Math, or whether a reply leaks
    method   that was trained

This is the only definition of a cluster here: a (bench, cluster) pair, drawn whole or not at all. Several rows of one
unit in one run are samples of its reply, and their mean counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """One bench. R runs (method, seed), U units, C clusters; `values_RU` are means over the samples of a reply.

    `totals_RC` are the values' sums in each cluster, `sizes_C` its units: a run's score is totals / sizes, summed.
    `single` where every run gave one reply a unit.
    """

    runs: tuple[tuple[str, int], ...]
    values_RU: Array
    totals_RC: Array
    sizes_C: Array
    single: bool

    @property
    def units(self) -> int:
        return self.values_RU.shape[1]

    @property
    def clusters(self) -> int:
        return len(self.sizes_C)

    def rows(self, method: str, seeds: Sequence[int]) -> list[int]:
        return [self.runs.index((method, seed)) for seed in seeds]


def shared_seeds(benches: Sequence[Grid]) -> dict[str, list[int]]:
    """By method, the seeds that were asked all of the benches; without methods that have none."""
    shared = set.intersection(*(set(grid.runs) for grid in benches))
    found: dict[str, list[int]] = {}
    for method, seed in benches[0].runs:
        if (method, seed) in shared:
            found.setdefault(method, []).append(seed)
    return found


def grids(items: pd.DataFrame) -> dict[str, Grid]:
    """The benches of a frame, in its order.

    Raises ValueError for a value outside 0..1, which a bench from elsewhere may give, a unit in two clusters, and runs
    that were not evaluated on the same units: such runs cannot be compared item by item.
    """
    if not items["value"].between(0, 1).all():
        raise ValueError("a value of an item lies outside 0..1 or is missing")
    return {str(bench): _grid(str(bench), part) for bench, part in items.groupby("bench", sort=False)}


def _grid(bench: str, part: pd.DataFrame) -> Grid:
    grouped = part.groupby(["method", "seed", "unit"], observed=True)["value"]
    table = grouped.mean().unstack("unit")
    for run, unit in np.argwhere(table.isna().to_numpy())[:1]:
        method, seed = table.index[run]
        raise ValueError(f"{bench}: {method} seed {seed} lacks the unit {table.columns[unit]}, which other runs have")
    clusters = part[["unit", "cluster"]].drop_duplicates().set_index("unit")["cluster"]
    if clusters.index.has_duplicates:
        raise ValueError(f"{bench}: unit {clusters.index[clusters.index.duplicated()][0]} is in two clusters")
    codes, names = pd.factorize(clusters.reindex(table.columns))
    values = table.to_numpy(np.float64)
    totals = np.zeros((len(values), len(names)))
    np.add.at(totals.T, codes, values.T)
    return Grid(
        runs=tuple((str(method), int(seed)) for method, seed in table.index),
        values_RU=values,
        totals_RC=totals,
        sizes_C=np.bincount(codes).astype(np.float64),
        single=bool((grouped.size() == 1).all()),
    )


def pooled(items: pd.DataFrame) -> pd.DataFrame:
    """All benches as one, for rates over replies of whatever bench; units and clusters keep their bench's name."""
    prefix = items["bench"].astype(str) + "/"
    return items.assign(
        bench="all", unit=prefix + items["unit"].astype(str), cluster=prefix + items["cluster"].astype(str)
    )
