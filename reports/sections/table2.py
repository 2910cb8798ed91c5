"""Table 2: one row a method, one column a bench, and their unweighted average."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.stats.estimate import Estimate, over_benches, over_seeds
from reports.suite import paper
from reports.suite.items import score_items
from reports.suite.read import BENCHES, Run, Suite

AVERAGE = "average"
COLUMNS = (*BENCHES, AVERAGE)
MINI_NOTE = (
    "MINI benches: small drawn stand-ins in the official schemas, graded by the official rules. "
    "They are not the official sets, and no score here compares with a published one."
)
UNFINISHED_NOTE = "† from a run that did not finish."


@dataclass(frozen=True)
class Row:
    """One method's cells by column; None where nothing was measured. `finished` is False for a † row."""

    method: str
    label: str
    cells: dict[str, Estimate | None]
    finished: bool

    @property
    def shown_label(self) -> str:
        seeds = max((cell.seeds for cell in self.cells.values() if cell), default=0)
        label = f"{self.label} ({seeds} seeds)" if seeds > 1 else self.label
        return label if self.finished else f"{label} †"


@dataclass(frozen=True)
class Table2:
    """Rows in the paper's order, then other methods by name; `editions` says which data each column stands on."""

    rows: tuple[Row, ...]
    editions: dict[str, str]

    @property
    def mini(self) -> bool:
        return "mini" in self.editions.values()

    def column_label(self, column: str) -> str:
        """Official sets keep their bare name; anything else says what it is."""
        label = BENCHES.get(column, "Average")
        edition = self.editions.get(column, "")
        return label if edition in ("", "official") else f"{label} {edition}"

    def items(self, column: str) -> int | None:
        """The items of one evaluation, which comparable runs share; None for the average."""
        return next((cell.n for row in self.rows if (cell := row.cells[column])), None)

    def notes(self) -> list[str]:
        """What must stand beside the table in every format."""
        notes = [MINI_NOTE] if self.mini else []
        return notes if all(row.finished for row in self.rows) else [*notes, UNFINISHED_NOTE]


def reported_runs(suite: Suite, method: str) -> list[Run]:
    """The runs behind a method's row: finished and evaluated; unfinished ones only where no other was evaluated."""
    evaluated = [run for run in suite.runs if run.method == method and run.results]
    return [run for run in evaluated if run.finished] or evaluated


def row_labels(suite: Suite) -> dict[str, str]:
    """Method to label in row order: the paper's six rows always, then whatever else was run."""
    labels = {run.method: run.label for run in suite.runs}
    others = sorted(method for method in labels if method not in paper.LABELS)
    return {method: labels.get(method, paper.LABELS.get(method, method)) for method in [*paper.LABELS, *others]}


def table2(suite: Suite) -> Table2:
    """Mean over seeds of each run's last evaluation; needs comparable runs (checks.require_comparable)."""
    editions = {bench: r.edition for run in suite.runs for bench, r in run.results.items()}
    mixed = len(set(editions.values())) > 1
    if editions and not mixed:
        editions[AVERAGE] = next(iter(editions.values()))
    rows = []
    for method, label in row_labels(suite).items():
        runs = reported_runs(suite, method)
        cells = {bench: _cell(runs, bench) for bench in BENCHES}
        cells[AVERAGE] = None if mixed else _average(runs)
        rows.append(Row(method, label, cells, finished=all(run.finished for run in runs)))
    return Table2(tuple(rows), editions)


def _cell(runs: list[Run], bench: str) -> Estimate | None:
    scores, stderrs, n, graded = [], [], None, []
    for run in runs:
        result = run.results.get(bench)
        if result is not None and result.score is not None:
            scores.append(result.score)
            stderrs.append(result.stderr)
            n = result.n
            graded.append(run)
    return over_seeds(scores, stderrs, n, _items(graded, [bench])) if scores else None


def _average(runs: list[Run]) -> Estimate | None:
    """Averaged within each seed first, as one seed's benches rise and fall together."""
    averages, stderrs, whole = [], [], []
    for run in runs:
        scores = [run.results[bench].score for bench in BENCHES if bench in run.results]
        graded = [score for score in scores if score is not None]
        if len(graded) == len(BENCHES):
            mean, stderr = over_benches(graded, [run.results[bench].stderr for bench in BENCHES])
            averages.append(mean)
            stderrs.append(stderr)
            whole.append(run)
    return over_seeds(averages, stderrs, None, _items(whole, list(BENCHES))) if averages else None


def _items(runs: list[Run], benches: list[str]) -> pd.DataFrame | None:
    """What the error of several seeds needs; one seed's evaluation has recorded its own."""
    return score_items(runs, benches) if len(runs) > 1 else None


def percent(cell: Estimate | None) -> str:
    """`52.4 ± 3.1`, in percent; a dash where nothing was measured."""
    if cell is None:
        return "–"
    if cell.stderr is None:
        return f"{100 * cell.mean:.1f}"
    return f"{100 * cell.mean:.1f} ± {100 * cell.stderr:.1f}"
