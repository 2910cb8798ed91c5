"""Who differs from whom: a picture against one of the rows, and a matrix of all pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from reports.figures.axes import Drawing
from reports.figures.intervals import Intervals, Line
from reports.figures.looks import looks
from reports.findings.differences import Differences, differences, differs
from reports.findings.table import Column, Row, Table, signed
from reports.findings.trainings import trainings
from reports.sections.section import Section, template
from reports.stats.estimate import Estimate
from reports.stats.paired import Difference
from reports.stats.significance import PAIRING
from reports.suite.read import Suite

MEANING = (
    "Differences in points (percentage points), each taken item by item on what both methods were asked. Beside a "
    "difference its 95 % interval, for that difference alone, from a cluster bootstrap; p is two-sided and corrected "
    "by Holm's method over all pairs of rows of its column. A pair differs where p is below 0.05."
)
TRAINED_MEANING = (
    f"Here the trainings are the draw and the questions are fixed: {PAIRING}; p corrected by Holm's method over the "
    "table. It asks whether training once more would come out the same way on these very questions, and needs no model "
    "of items; few seeds see little."
)
REFERENCES = 12  # rows that a picture may be drawn against


def against_reference(data: Differences) -> Table:
    rows = []
    for method, label in list(data.labels.items())[1:]:
        cells = {column.key: data.between(method, data.reference, column.key) for column in data.columns}
        rows.append(Row(method, label, cells))
    title = f"Differences from {data.labels[data.reference]}, points"
    return Table(title, data.columns, tuple(rows), of=("bench", "difference"), show=signed, wide=True)


def matrix(data: Differences) -> Table:
    """All pairs of the first column, row minus column: below the diagonal, as the rest is the same turned round."""
    where, methods = data.columns[0], list(data.labels)
    rows = []
    for i, method in enumerate(methods[1:], 1):
        cells = {other: data.between(method, other, where.key) for other in methods[:i]}
        rows.append(Row(method, data.labels[method], {other: cells.get(other) for other in methods[:-1]}))
    columns = tuple(Column(method, data.labels[method]) for method in methods[:-1])
    title = f"All pairs, {where.head}: row minus column, points"
    return Table(title, columns, tuple(rows), meaning=MEANING, of=("against", "difference"), show=signed, wide=True)


def forest(data: Differences, reference: str) -> Intervals:
    look = looks(data.labels)
    panels = []
    for column in data.columns:
        cells = {m: data.between(m, reference, column.key) for m in data.labels}
        lines = tuple(Line(data.labels[m], look[m], cell, differs(cell)) for m, cell in cells.items() if cell)
        panels.append((column.head, lines))
    axis = f"points above (right) or below (left) {data.labels[reference]}, 95 % interval"
    return Intervals(tuple((head, lines) for head, lines in panels if lines), axis, signed=True)


def trained_again(data: Differences, suite: Suite) -> Table | None:
    """All pairs of methods with several seeds, tested over trainings alone; None where fewer than two have them."""
    where = data.columns[0]
    found = trainings(suite, where.key)
    methods = [method for method in data.labels if any(method in pair for pair in found)]
    if not methods:
        return None
    rows = [Row(m, data.labels[m], {o: found.get((m, o)) for o in methods[:-1]}) for m in methods[1:]]
    title = f"Training as the population, {where.head}: row minus column, points"
    columns = tuple(Column(method, data.labels[method]) for method in methods[:-1])
    return Table(
        title, columns, tuple(rows), meaning=TRAINED_MEANING, of=("against", "difference"), show=signed, wide=True
    )


@dataclass(frozen=True, eq=False)
class Shown:
    """What the page prints. `forests` are by the label of the row that they compare with."""

    found: Differences
    forests: dict[str, Intervals]
    against: Table
    matrix: Table
    trained: Table | None
    meaning: str = MEANING

    def apart(self, cell: Estimate) -> bool:
        return differs(cell)


def _compute(suite: Suite) -> Shown | None:
    found = differences(suite)
    if not found.pairs:
        return None
    forests = {found.labels[method]: forest(found, method) for method in list(found.labels)[:REFERENCES]}
    return Shown(found, forests, against_reference(found), matrix(found), trained_again(found, suite))


def _json(data: Shown) -> dict[str, Any]:
    found = data.found
    pairs = [
        {
            "a": pair.a,
            "b": pair.b,
            "columns": {
                column.key: _numbers(found.of(column.key)[pair.a, pair.b])
                for column in found.columns
                if (pair.a, pair.b) in found.of(column.key)
            },
        }
        for pair in found.pairs
    ]
    return {
        "paired_differences": {
            "meaning": MEANING,
            "reference": found.reference,
            "scores": found.scores,
            "pairs": pairs,
            "missing": found.missing,
        }
    }


def _numbers(found: Difference) -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(found.estimate).items() if key != "p"},
        "p": found.p,
        "mcnemar_p": found.exact,
        "holm_p": found.holm,
    }


def _tables(data: Shown) -> list[Table]:
    return [data.against, data.matrix, *([data.trained] if data.trained else [])]


def _figures(data: Shown) -> dict[str, Drawing]:
    return {"differences": next(iter(data.forests.values()))}


DIFFERENCES = Section(
    "differences",
    _compute,
    template(__file__),
    "Differences",
    json=_json,
    tables=_tables,
    figures=_figures,
)
