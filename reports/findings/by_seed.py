"""Every number of a suite by training seed, as one long table: what claims about methods are tested on."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pandas as pd

from eval.benches import BENCHES
from eval.core import files
from eval.core.errors import UserError
from reports.findings.table import inert
from reports.suite.paper import AVERAGE
from reports.suite.read import Run, Suite, load_suite
from reports.suite.rows import averaged

FILE = "seeds.csv"
WINDOW = 10  # training steps that one row is the mean of; the row's step is the last of them
COLUMNS = ("method", "label", "seed", "step", "number", "value")
TRAINING = "training "  # before the names of what training recorded
EXACT, WRONG_CHAIN = "exact", "right by a wrong chain"


def by_seed(suite: Suite) -> pd.DataFrame:
    """A row a number (COLUMNS): benches, their average and leakage rates of each evaluated step in 0..1, what `cli.py
    exact` left, and each metric of training as the mean of WINDOW steps, as it was recorded."""
    rows = [
        (run.method, run.label, run.seed, step, name, value)
        for run in suite.runs
        for step, name, value in (*_evaluated(run, averaged(suite)), *_exact(run))
    ]
    return pd.DataFrame([*rows, *_trained(suite)], columns=list(COLUMNS))


def csv(suite: Suite) -> str:
    frame = by_seed(suite)
    texts = {name: frame[name].map(inert) for name in ("method", "label", "number")}
    return frame.assign(**texts).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def load(folder: Path) -> pd.DataFrame:
    """The table of a suite, or of a report of one. Raises UserError for another folder."""
    if not (folder / FILE).exists():
        return pd.read_csv(io.StringIO(csv(load_suite(folder))))
    try:
        found = pd.read_csv(folder / FILE)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / FILE} is no table: {error}; write the report again") from None
    if list(found.columns) != list(COLUMNS):
        raise UserError(f"{folder / FILE} has other columns than a report's: write the report again")
    return found


def _evaluated(run: Run, average: bool) -> Iterator[tuple[int, str, float]]:
    for step, evaluated in run.evaluated.items():
        scores = {bench: result.score for bench, result in evaluated.results.items() if result.score is not None}
        for bench, score in scores.items():
            yield step, bench, score
        if average and scores.keys() == BENCHES.keys():
            yield step, AVERAGE, fmean(scores.values())
        for detector, leak in evaluated.leakage.items():
            if leak.rate is not None:
                yield step, f"leakage {detector}", leak.rate


def _exact(run: Run) -> Iterator[tuple[int, str, float]]:
    found = files.read_object(run.folder / "exact.json") or {}
    for number, name in (("score", EXACT), ("wrong_chain", WRONG_CHAIN)):
        if isinstance(value := found.get(number), float) and math.isfinite(value):
            yield run.steps_done, name, value


def _trained(suite: Suite) -> Iterator[tuple[str, str, int, int, str, float]]:
    if suite.metrics.empty:
        return
    keys = ["method", "label", "seed", "step"]
    last = (suite.metrics["step"] + WINDOW - 1) // WINDOW * WINDOW
    means = suite.metrics.assign(step=last).groupby(keys, sort=False).mean(numeric_only=True).reset_index()
    for row in means.to_dict("records"):
        method, label, seed, step = (row.pop(key) for key in keys)
        yield from (
            (method, label, seed, step, f"{TRAINING}{name}", value)
            for name, value in row.items()
            if math.isfinite(value)
        )
