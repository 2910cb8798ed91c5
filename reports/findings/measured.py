"""What `cli.py probe` and `cli.py credit` left beside the runs: numbers that only a model gives, with their errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.suite.read import Run, Suite
from reports.suite.records import Measure
from reports.suite.rows import row_labels

PROBES_MEANING = (
    "Means over replies of the last checkpoint ± one standard error, clustered by item. Read a row against the base's: "
    "what an untrained model has did not come from a teacher. A dash: not asked, or the run had nothing planted."
)
LOCALISED = {
    "auc": "Slips found",
    "auc_stated": "Among stated tokens",
    "auc_wrong_reference": "Told a wrong answer",
    "auc_unclipped": "Without the clip",
    "auc_permuted": "At random places",
    "share": "On decisive tokens",
    "base": "Decisive tokens",
}
LOCALISED_MEANING = (
    "Slips found: in a wrong reply, how likely a token at which the error is made has more credit, by size, than "
    "another one of that reply, or than another that states something; 0.5 is chance, and what one number a reply "
    "gives. On decisive tokens: the part of all credit of a right reply that lies on its counts and results, whose "
    "part of all tokens stands beside it. Means over replies ± one standard error by question, on drawn problems."
)


@dataclass(frozen=True)
class Measured:
    """A table of means in units of their own; `meanings` are what its heads say, by head."""

    title: str
    first: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Measure | None, ...]], ...]
    meaning: str
    meanings: tuple[tuple[str, str], ...] = ()

    def json(self) -> dict[str, Any]:
        return {
            label: {head: cell and cell.model_dump() for head, cell in zip(self.heads, cells, strict=True)}
            for label, cells in self.rows
        }


def probes(suite: Suite) -> Measured | None:
    """A row a probed run; None where none was."""
    runs = [run for run in suite.runs if run.probes]
    words = {name: probe for run in runs for name, probe in run.probes.items()}
    rows = []
    for run in runs:
        cells = [run.probes[name].value if name in run.probes else None for name in words]
        rows.append((_named(run, runs), tuple(cells)))
    heads = tuple(f"{probe.label}, {probe.unit}" for probe in words.values())
    meanings = tuple((probe.label, probe.meaning) for probe in words.values())
    title = "Probes of the last checkpoint"
    return Measured(title, "Method", heads, tuple(rows), PROBES_MEANING, meanings) if rows else None


def localisation(suite: Suite) -> Measured | None:
    """A row for each method whose credit was asked for, on a run's replies and under its model; None without any."""
    runs = [run for run in suite.runs if run.localised]
    labels = row_labels(suite)
    rows = []
    for run in runs:
        for checkpoint, methods in run.localised.items():
            for method, found in methods.items():
                where = f"{labels.get(method, method)}, by {_named(run, runs)} at step {checkpoint}"
                rows.append((where, tuple(found.get(name) for name in LOCALISED)))
    title, first = "Where credit falls in a reply", "Credit of"
    return Measured(title, first, tuple(LOCALISED.values()), tuple(rows), LOCALISED_MEANING) if rows else None


def _named(run: Run, among: Sequence[Run]) -> str:
    several = sum(other.method == run.method for other in among) > 1
    return f"{run.label}, seed {run.seed}" if several else run.label
