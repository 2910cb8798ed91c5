"""Who differs from whom: a picture against one of the rows, and a matrix of all pairs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Any

from eval.benches import BENCHES
from reports.figures.intervals import Intervals, Line
from reports.figures.looks import Look, looks
from reports.findings.differences import Differences, differences, differs
from reports.findings.table import Column, Row, Table, signed
from reports.sections.section import Section, template
from reports.stats.estimate import Estimate
from reports.stats.paired import Difference
from reports.stats.significance import PAIRING, between_trainings, holm
from reports.suite.paper import AVERAGE
from reports.suite.read import Suite
from reports.suite.rows import reported_runs, row_labels

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
    """All pairs of the first column, row minus column."""
    where = data.columns[0]
    found = {(a, b): data.between(a, b, where.key) for b, a in combinations(data.labels, 2)}
    return _pairs(f"All pairs, {where.head}: row minus column, points", list(data.labels), data, found, MEANING)


def _pairs(
    title: str, methods: list[str], data: Differences, found: Mapping[tuple[str, str], Estimate | None], meaning: str
) -> Table:
    """`found` below the diagonal, as the rest is the same turned round."""
    rows = [Row(m, data.labels[m], {o: found.get((m, o)) for o in methods[:-1]}) for m in methods[1:]]
    columns = tuple(Column(method, data.labels[method]) for method in methods[:-1])
    return Table(title, columns, tuple(rows), meaning=meaning, of=("against", "difference"), show=signed, wide=True)


def forest(data: Differences, reference: str, look: Mapping[str, Look]) -> Intervals:
    panels = []
    for column in data.columns:
        cells = {m: data.between(m, reference, column.key) for m in data.labels}
        if lines := tuple(Line(data.labels[m], look[m], cell, differs(cell)) for m, cell in cells.items() if cell):
            panels.append((column.head, lines))
    axis = f"points above (right) or below (left) {data.labels[reference]}, 95 % interval"
    return Intervals(tuple(panels), axis, signed=True)


def trainings(suite: Suite, column: str) -> dict[tuple[str, str], Estimate]:
    """Later row minus earlier, by (later, earlier), of the methods with several seeds, whatever items they stand on:
    one score a seed, of the runs that have one on all of the column's benches. `p` is corrected over all pairs."""
    benches = set(BENCHES) if column == AVERAGE else {column}
    several = {}
    for method in row_labels(suite):
        runs = [run for run in reported_runs(suite, method) if benches <= run.scores.keys()]
        if len(runs) > 1:
            several[method] = {run.seed: fmean(run.scores[bench] for bench in benches) for run in runs}
    pairs = {(a, b): between_trainings(several[a], several[b]) for b, a in combinations(several, 2)}
    corrected = holm([p for _, p in pairs.values()])
    return {names: replace(found, p=p) for (names, (found, _)), p in zip(pairs.items(), corrected, strict=True)}


def trained_again(data: Differences, suite: Suite) -> Table | None:
    """All pairs of methods with several seeds, tested over trainings alone; None where fewer than two have them."""
    where = data.columns[0]
    found = trainings(suite, where.key)
    methods = [method for method in data.labels if any(method in pair for pair in found)]
    if not methods:
        return None
    title = f"Training as the population, {where.head}: row minus column, points"
    return _pairs(title, methods, data, found, TRAINED_MEANING)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the page prints. `forests` are by the label of the row that they compare with."""

    found: Differences
    forests: dict[str, Intervals]
    against: Table
    matrix: Table
    trained: Table | None
    meaning: str = MEANING
    apart = staticmethod(differs)


def _compute(suite: Suite) -> Shown | None:
    found = differences(suite)
    if not found.pairs:
        return None
    look = looks(row_labels(suite))
    forests = {found.labels[method]: forest(found, method, look) for method in list(found.labels)[:REFERENCES]}
    return Shown(found, forests, against_reference(found), matrix(found), trained_again(found, suite))


def _json(data: Shown) -> dict[str, Any]:
    found = data.found
    columns = {column.key: found.pairs[column.key] for column in found.columns}
    pairs = [
        {"a": a, "b": b, "columns": {key: _numbers(of[a, b]) for key, of in columns.items() if (a, b) in of}}
        for b, a in combinations(found.labels, 2)
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
    return {**asdict(found.estimate), "p": found.p, "mcnemar_p": found.exact, "holm_p": found.estimate.p}


DIFFERENCES = Section(
    "differences",
    _compute,
    template(__file__),
    "Differences",
    json=_json,
    tables=lambda data: [table for table in (data.against, data.matrix, data.trained) if table],
    figures=lambda data: {"differences": next(iter(data.forests.values()))},
)
