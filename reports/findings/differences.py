"""Who differs from whom: every pair of methods on the items that both were asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from eval.benches import BENCHES
from reports.findings.table import Column
from reports.stats.estimate import Estimate
from reports.stats.grid import Grid, grids, shared_seeds
from reports.stats.paired import Pairs, all_pairs
from reports.suite.items import score_items
from reports.suite.paper import AVERAGE
from reports.suite.read import Suite
from reports.suite.rows import averaged, editions, reported_runs, row_labels

LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Differences:
    """Methods by label in row order, the base first where it ran; `pairs` by column, the later row minus the earlier.

    `columns` are the average, where Table 2 has one, and the benches. `scores` are 0..1 by column and method, of the
    seeds that the pairs of that column rest on. `missing` says in sentences what could not be compared.
    """

    labels: Mapping[str, str]
    columns: tuple[Column, ...]
    scores: Mapping[str, Mapping[str, float]]
    pairs: Mapping[str, Pairs]
    missing: tuple[str, ...]

    @property
    def reference(self) -> str:
        """Whom the picture compares with: the base if it ran, else the first row."""
        return next(iter(self.labels))

    def between(self, a: str, b: str, column: str) -> Estimate | None:
        """a - b, whichever row comes first."""
        found = self.pairs.get(column, {})
        if (a, b) in found:
            return found[a, b].estimate
        return turned(found[b, a].estimate) if (b, a) in found else None


def turned(found: Estimate) -> Estimate:
    """b - a of a - b."""
    low, high = (None if end is None else -end for end in (found.high, found.low))
    return replace(found, mean=-found.mean, low=low, high=high)


def differs(found: Estimate) -> bool:
    """Whether a test tells the two apart."""
    return found.p is not None and found.p < LEVEL


def best(data: Differences, column: str) -> frozenset[str]:
    """The highest score of a column and every row that no test tells apart from it; none where that is every row."""
    scores = data.scores.get(column, {})
    if not scores:
        return frozenset()
    first = max(scores, key=lambda method: scores[method])
    found = {m: data.between(first, m, column) for m in scores}
    group = frozenset(m for m, cell in found.items() if cell is None or not differs(cell))
    return group if len(group) < len(scores) else frozenset()


@lru_cache(maxsize=1)  # several sections ask for the differences of one suite
def differences(suite: Suite) -> Differences:
    """Always the same draws, so that the same runs give the same report."""
    missing: list[str] = []
    benches = {bench: grid for bench in BENCHES if (grid := _grid(suite, bench, missing)) is not None}
    asked = {method for grid in benches.values() for method, _ in grid.runs}
    labels = {method: label for method, label in row_labels(suite).items() if method in asked}
    pairs = all_pairs(benches, list(labels), np.random.default_rng(0))
    edition = editions(suite)
    columns = [Column(bench, BENCHES[bench].label, edition[bench]) for bench in benches]
    if averaged(suite) and len(benches) == len(BENCHES):
        columns.insert(0, Column(AVERAGE, AVERAGE.capitalize(), edition[columns[0].key]))
    else:
        pairs.pop(AVERAGE, None)
    scores = {column.key: _scores(benches, column.key) for column in columns}
    return Differences(labels, tuple(columns), scores, pairs, tuple(missing))


def _grid(suite: Suite, bench: str, missing: list[str]) -> Grid | None:
    """The items of the rows' runs on one bench; None where it has none. Says in `missing` what had to be left out."""
    runs = [run for method in row_labels(suite) for run in reported_runs(suite, method)]
    found = {run.name: score_items([run], [bench]) for run in runs if bench in run.scores}
    label = BENCHES[bench].label
    if lacking := [name for name, items in found.items() if items is None]:
        missing.append(
            f"{label} is not compared for {', '.join(lacking)}: samples.parquet, which holds the replies one by one, "
            "is missing or broken."
        )
    known = [items for items in found.values() if items is not None and len(items)]
    if not known:
        return None
    try:
        return grids(pd.concat(known, ignore_index=True))[bench]
    except ValueError as error:
        missing.append(f"{label} cannot be compared item by item: {error}.")
        return None


def _scores(benches: Mapping[str, Grid], column: str) -> dict[str, float]:
    """Each method's score over the seeds that were asked all of the column's benches."""
    parts = list(benches.values()) if column == AVERAGE else [benches[column]]
    return {
        method: float(np.mean([grid.values_RU[grid.rows(method, seeds)].mean() for grid in parts]))
        for method, seeds in shared_seeds(parts).items()
    }
