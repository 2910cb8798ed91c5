"""Who leaks: rates with intervals, against replies that had nothing to leak, and how right the leaking ones are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from eval.benches import BENCHES
from reports.stats.estimate import Estimate
from reports.stats.grid import grids, pooled
from reports.stats.paired import all_pairs
from reports.stats.rates import between_kinds, rate
from reports.stats.significance import holm
from reports.suite import paper
from reports.suite.items import leakage_items
from reports.suite.read import Suite
from reports.suite.rows import reported_runs, row_labels


@dataclass(frozen=True)
class Leaking:
    """One row: its rate, and that of each training where there are several; the rate minus the reference's, `p`
    corrected over all rows; and the share of right answers among leaking and clean replies with their difference,
    where there are both."""

    rate: Estimate
    by_seed: tuple[Estimate, ...] = ()
    more: Estimate | None = None
    right: tuple[float, float] | None = None
    gain: Estimate | None = None


@dataclass(frozen=True)
class Leaks:
    """What one detector found, by method. `reference` is whose replies had nothing to leak: the base's, or GRPO's.

    `missing` are labels of rows that the detector searched, but whose replies cannot be read one by one; `alike` is
    False where rows were not asked the same, so that nothing is compared.
    """

    detector: str
    label: str
    reference: str | None
    rows: Mapping[str, Leaking]
    missing: tuple[str, ...]
    alike: bool


@lru_cache(maxsize=1)  # the verdict asks, and the leakage section
def leaks(suite: Suite) -> list[Leaks]:
    """One a detector that any run was searched by, in the order of the evaluations' files."""
    words = {name: found.label for run in suite.runs for name, found in run.leakage.items()}
    return [_leaks(suite, detector, label) for detector, label in words.items()]


def _leaks(suite: Suite, detector: str, label: str) -> Leaks:
    found, missing = {}, []
    for method, name in row_labels(suite).items():
        runs = [run for run in reported_runs(suite, method) if detector in run.leakage]
        benches = [bench for bench in BENCHES if runs and all(bench in run.results for run in runs)]
        items = leakage_items(runs, benches, detector) if benches else None
        if items is not None and len(items):
            found[method] = items
        elif runs:
            missing.append(name)
    rows = {method: _row(items) for method, items in found.items()}
    reference = next((method for method in (paper.BASE, paper.PLAIN) if method in rows), None)
    more, alike = dict[str, Estimate](), True
    if reference is not None and len(rows) > 1:
        try:
            more = _against(pd.concat(found.values(), ignore_index=True), reference)
        except ValueError:  # rows of different benches or items
            alike = False
    rows = {method: replace(row, more=more.get(method)) for method, row in rows.items()}
    return Leaks(detector, label, reference, rows, tuple(missing), alike)


def _row(items: pd.DataFrame) -> Leaking:
    seeds = items.groupby("seed")
    found = Leaking(rate(items), tuple(rate(own) for _, own in seeds) if len(seeds) > 1 else ())
    graded = items[items["correct"].notna()]
    leaking, right = graded["value"].to_numpy() > 0, graded["correct"].to_numpy(np.float64)
    if leaking.all() or not leaking.any():
        return found
    gain = between_kinds(right, leaking, graded["drawn"].tolist())
    return replace(found, right=(float(right[leaking].mean()), float(right[~leaking].mean())), gain=gain)


def _against(items: pd.DataFrame, reference: str) -> dict[str, Estimate]:
    """Each method's rate over all replies minus the reference's; McNemar's exact p where it is valid, as leaks are
    rare. Raises ValueError where not all were asked the same."""
    methods = [reference, *(method for method in items["method"].unique() if method != reference)]
    pairs = all_pairs(grids(pooled(items)), methods, np.random.default_rng(0))["all"]
    found = {a: difference for (a, b), difference in pairs.items() if b == reference}
    chances = holm([each.p if each.exact is None else each.exact for each in found.values()])
    return {m: replace(each.estimate, p=p) for (m, each), p in zip(found.items(), chances, strict=True)}
