"""Table 2: one row a method, one column a bench, and their unweighted average; beside it the paper's own numbers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from eval.benches import BENCHES
from reports.findings.differences import best, differences
from reports.findings.reference import Reference, reference
from reports.findings.table import Column, Row, Table, numbers, points
from reports.sections.section import Section, template
from reports.stats.estimate import STDERR_MEANING, Estimate, over_benches, over_seeds
from reports.suite import paper
from reports.suite.items import score_items
from reports.suite.paper import AVERAGE
from reports.suite.read import Run, Suite
from reports.suite.rows import MINI_NOTE, SETS, editions, reported_runs, row_labels

BEST_MEANING = (
    "Bold: the best of its column and every row that no test tells apart from it (see Differences); a column without "
    "bold has no row that is told apart from its best, or rows that could not be tested."
)
UNFINISHED_NOTE = "† from a run that did not finish."


@dataclass(frozen=True)
class Tables:
    """Ours and the paper's never share a table or a row. `editions` says which data each of our columns stands on."""

    ours: Table
    paper: Table
    reference: Reference
    editions: dict[str, str]
    summaries: tuple[tuple[str, str], ...]

    def gain(self, row: Row, column: str) -> str:
        """What a row has over the base, and in brackets what the paper's has."""
        base = next((r.cells[column] for r in self.ours.rows if r.method == paper.BASE), None)
        cell = row.cells[column]
        if base is None or cell is None or row.method == paper.BASE:
            return ""
        theirs = paper.gain(row.method, column)
        return points(cell.mean - base.mean) + ("" if theirs is None else f" ({points(theirs)})")

    def of(self, column: str) -> str:
        """How many units stand behind a column, of how many the official set has; drawn ones are none of it."""
        n = self.ours.items(column)
        if n is None or column not in BENCHES:
            return ""
        return f"n = {n}" if self.editions[column].startswith("mini") else f"{n} of {BENCHES[column].official_n}"

    @property
    def narrow(self) -> list[Column]:
        """The columns of a page that is too narrow for the table: the average first."""
        return sorted(self.ours.columns, key=lambda column: column.key != AVERAGE)


@lru_cache(maxsize=1)  # Table 2 and the leakage section ask for them
def tables(suite: Suite) -> Tables:
    """Mean over seeds of each run's last evaluation; needs comparable runs (comparable.require_comparable)."""
    found = editions(suite)
    sets = sorted(set(found.values()))
    whole = len(sets) == 1 and sets[0] in SETS
    rows = tuple(_row(suite, method, label, whole) for method, label in row_labels(suite).items())
    notes = [MINI_NOTE] if any(edition.startswith("mini") for edition in sets) else []
    if not all(row.finished for row in rows):
        notes.append(UNFINISHED_NOTE)
    data = " and ".join(SETS.get(edition, edition) for edition in sets) or "not evaluated yet"
    if whole:
        found[AVERAGE] = sets[0]
    marks = {column: _best(suite, rows, column) for column in (*BENCHES, AVERAGE)}
    ours = Table(
        title=f"Measured by this suite ({suite.name}): {data}, percent",
        columns=tuple(Column(key, _label(key), found.get(key, "")) for key in (*BENCHES, AVERAGE)),
        rows=rows,
        notes=tuple(notes),
        meaning=f"{STDERR_MEANING} {BEST_MEANING}" if any(marks.values()) else STDERR_MEANING,
        best=marks,
    )
    summaries = [(row.label, paper.SUMMARIES[row.method]) for row in rows if row.method in paper.SUMMARIES]
    return Tables(ours, _papers(), reference(), found, tuple(summaries))


def _label(column: str) -> str:
    return BENCHES[column].label if column in BENCHES else column.capitalize()


def _row(suite: Suite, method: str, label: str, whole: bool) -> Row:
    """Without an average where benches stand on different sets, or on a part of one."""
    runs = reported_runs(suite, method)
    cells = {bench: _cell(runs, bench) for bench in BENCHES}
    cells[AVERAGE] = _average(runs) if whole else None
    return Row(method, label, cells, finished=all(run.finished for run in runs))


def _best(suite: Suite, rows: Sequence[Row], column: str) -> frozenset[str]:
    """None where a row with a score could not be tested: it may be the best."""
    data = differences(suite)
    scored = {row.method for row in rows if row.cells[column] is not None}
    return best(data, column) if scored == set(data.scores.get(column, {})) else frozenset()


def _papers() -> Table:
    return Table(
        title=f"The paper's numbers: {paper.MODEL}, {paper.DATA}",
        columns=tuple(Column(key, _label(key), "official") for key in paper.COLUMNS),
        rows=tuple(
            Row(
                m,
                paper.LABELS[m],
                {k: Estimate(v / 100, None, None, 0) for k, v in zip(paper.COLUMNS, values, strict=True)},
            )
            for m, values in paper.PERCENT.items()
        ),
        meaning=paper.NOTE,
        source="paper",
        digits=2,
    )


def _cell(runs: list[Run], bench: str) -> Estimate | None:
    graded = [run for run in runs if bench in run.scores]
    results = [run.results[bench] for run in graded]
    scores, stderrs = [run.scores[bench] for run in graded], [result.stderr for result in results]
    return over_seeds(scores, stderrs, results[-1].n, _items(graded, [bench])) if graded else None


def _average(runs: list[Run]) -> Estimate | None:
    """Averaged within each seed first, as one seed's benches rise and fall together."""
    whole = [run for run in runs if run.scores.keys() == BENCHES.keys()]
    found = [over_benches([run.scores[b] for b in BENCHES], [run.results[b].stderr for b in BENCHES]) for run in whole]
    averages, stderrs = [mean for mean, _ in found], [stderr for _, stderr in found]
    return over_seeds(averages, stderrs, None, _items(whole, list(BENCHES))) if whole else None


def _items(runs: list[Run], benches: list[str]) -> pd.DataFrame | None:
    """What the error of several seeds needs; one seed's evaluation has recorded its own."""
    return score_items(runs, benches) if len(runs) > 1 else None


def _json(data: Tables) -> dict[str, Any]:
    return {
        "editions": data.editions,
        "stderr": STDERR_MEANING,
        "table2": [
            {**asdict(row), "cells": {key: numbers(cell) for key, cell in row.cells.items()}} for row in data.ours.rows
        ],
        "paper": {
            "source": paper.SOURCE,
            "model": paper.MODEL,
            "data": paper.DATA,
            "averages_recomputed": data.reference.averages,
            "noise": [asdict(gap) for gap in (*data.reference.gaps, *data.reference.others)],
            "percent": {m: dict(zip(paper.COLUMNS, values, strict=True)) for m, values in paper.PERCENT.items()},
        },
    }


TABLE2 = Section(
    "table2", tables, template(__file__), "Table 2", json=_json, tables=lambda data: (data.ours, data.paper)
)
