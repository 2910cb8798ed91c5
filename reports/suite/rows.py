"""The rows of the report: which methods in which order, and which runs stand behind each."""

from eval.benches import BENCHES
from reports.suite import paper
from reports.suite.read import Run, Suite

MINI_NOTE = (
    "MINI benches: small drawn stand-ins in the official schemas, graded by this suite's default rule. "
    "They are not the official sets, and no score here compares with a published one."
)

SETS = {
    "mini": "MINI benches, quick edition",
    "mini-large": "MINI benches",
    "official": "official sets",
    "local": "local data",
}


def row_labels(suite: Suite) -> dict[str, str]:
    """Method to label of what was run, in row order: the paper's rows in its order, then whatever else."""
    labels = {run.method: run.label for run in suite.runs}
    others = sorted(method for method in labels if method not in paper.LABELS)
    return {method: labels[method] for method in [*paper.LABELS, *others] if method in labels}


def reported_runs(suite: Suite, method: str) -> list[Run]:
    """The runs behind a method's row: finished and evaluated; unfinished ones only where no other was evaluated."""
    evaluated = [run for run in suite.runs if run.method == method and run.results]
    return [run for run in evaluated if run.finished] or evaluated


def trained_runs(suite: Suite) -> list[Run]:
    return [run for run in suite.runs if run.method != paper.BASE and not run.external]


def editions(suite: Suite) -> dict[str, str]:
    """Bench to the data that it was evaluated on, which comparable runs share."""
    return {bench: result.edition for run in suite.runs for bench, result in run.results.items()}


def averaged(suite: Suite) -> bool:
    """Whether an average stands for anything: every bench was evaluated, on the same kind of set, and on all of it."""
    found = editions(suite)
    return set(found) == set(BENCHES) and len(set(found.values())) == 1 and set(found.values()) <= set(SETS)
