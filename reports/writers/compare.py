"""Two runs against each other: their settings, their scores item by item, and the items that flipped."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.markup import escape
from rich.table import Table

from eval.benches import BENCHES
from eval.core.differences import flat
from eval.core.errors import UserError
from reports.findings.table import chance, interval, points
from reports.stats.grid import grids
from reports.stats.paired import AVERAGE, all_pairs
from reports.suite.comparable import require_comparable
from reports.suite.items import score_items
from reports.suite.read import Run, load_run

SHOWN = 8  # flipped items that are named a bench and direction


def compared(a: Path, b: Path) -> Iterator[Table | str]:
    """What to print. Raises UserError where a folder is no run, or both share no bench that was graded alike."""
    first, second = load_run(a), load_run(b)
    require_comparable((first, second))
    yield f"A  {a}  {first.label}, seed {first.seed}, step {first.eval_step}"
    yield f"B  {b}  {second.label}, seed {second.seed}, step {second.eval_step}"
    yield from _settings(first, second)
    benches = [bench for bench in BENCHES if bench in first.results and bench in second.results]
    items = [(score_items([run], benches) if benches else None) for run in (first, second)]
    if items[0] is None or items[1] is None or items[0].empty or items[1].empty:
        raise UserError("the two runs share no bench whose replies can be read one by one: evaluate both (cli.py eval)")
    yield _differences(items[0], items[1], benches)
    yield from _flipped(items[0], items[1], benches)
    yield f"Read them: cli.py replies {b} --wrong"


def _settings(a: Run, b: Run) -> Iterator[Table | str]:
    old, new = flat(a.settings), flat(b.settings)
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if not keys:
        yield "Settings: the same."
        return
    table = Table("setting", "A", "B", title="Settings that differ", title_justify="left")
    for key in keys:
        table.add_row(*(escape(str(value)) for value in (key, old.get(key, "–"), new.get(key, "–"))))
    yield table


def _differences(a: pd.DataFrame, b: pd.DataFrame, benches: list[str]) -> Table:
    try:
        items = grids(pd.concat([a.assign(method="a"), b.assign(method="b")]))
    except ValueError as error:
        raise UserError(f"the two runs cannot be compared item by item: {error}") from None
    found = all_pairs(items, ["a", "b"], np.random.default_rng(0))
    table = Table(title="B minus A, points", title_justify="left", caption="Not corrected: this is one pair.")
    for head in ("", "difference", "95 % interval", "p"):
        table.add_column(head, justify="left" if not head else "right")
    for column in [AVERAGE, *benches] if len(benches) > 1 else benches:
        for each in found.get(column, {}).values():
            p = each.p if each.exact is None else each.exact
            cells = points(each.estimate.mean), interval(each.estimate), "–" if p is None else chance(p)
            table.add_row(escape(BENCHES[column].label if column in BENCHES else "Average"), *cells)
    return table


def _flipped(a: pd.DataFrame, b: pd.DataFrame, benches: list[str]) -> Iterator[str]:
    keys = ["bench", "unit", "sample"]
    both = a.merge(b, on=keys, suffixes=("_a", "_b"))
    for bench in benches:
        part = both[both["bench"] == bench]
        for words, flips in (
            ("A right, B wrong", part[part["value_a"] > part["value_b"]]),
            ("A wrong, B right", part[part["value_a"] < part["value_b"]]),
        ):
            names = ", ".join(map(str, flips["unit"].head(SHOWN))) + (" …" if len(flips) > SHOWN else "")
            yield f"{BENCHES[bench].label}: {words} {len(flips)} of {len(part)}" + (f": {names}" if names else "")
