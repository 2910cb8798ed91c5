"""Which runs a report is about: some of a suite's, and rows from elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from eval.core.errors import UserError
from reports.suite.read import Run, Suite, load_evaluation, load_run

FILTERS: dict[str, Callable[[Run], str]] = {
    "method": lambda run: run.method.partition("@")[0],
    "variant": lambda run: run.method.partition("@")[2] or "none",
    "seed": lambda run: str(run.seed),
}


def selected(filters: list[str], rows: list[str]) -> Callable[[Suite], Suite]:
    """From `key=value,value` each and `NAME=FOLDER` each; raises UserError for a key or folder that is none."""
    wanted = dict(_parted(text, "--filter", "method=grpo,rlsd") for text in filters)
    if unknown := wanted.keys() - FILTERS.keys():
        raise UserError(f"--filter {unknown.pop()!r}: choose one of {', '.join(FILTERS)}")
    more = [_row(*_parted(text, "--row", "other=runs/eval/my-model")) for text in rows]

    def select(suite: Suite) -> Suite:
        runs = [run for run in suite.runs if all(FILTERS[k](run) in v.split(",") for k, v in wanted.items())]
        if not runs:
            raise UserError(f"no run of {suite.name} fits {' and '.join(filters)}")
        if twice := {run.method for run in suite.runs} & {run.method for run in more}:
            raise UserError(f"--row {twice.pop()}: the suite has a row of that name; choose another")
        names = {run.name for run in runs}
        kept = suite.metrics["method"].astype(str) + "/seed" + suite.metrics["seed"].astype(str)
        return replace(suite, runs=(*runs, *more), metrics=suite.metrics[kept.isin(names)].reset_index(drop=True))

    return select


def _parted(text: str, option: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UserError(f"{option} {text!r}: write it as {example}")
    return key, value


def _row(name: str, folder: str) -> Run:
    path = Path(folder)
    found = load_run(path) if (path / "run.json").exists() else load_evaluation(path)
    return replace(found, method=name, label=name)
