"""Token credit: where in a reply each method pushes, on one right and one wrong reply to the same question."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports.findings.measured import Measured, localisation
from reports.sections.section import Section, template
from reports.suite import paper
from reports.suite.items import stored
from reports.suite.read import Run, Suite
from reports.suite.rows import row_labels

STEPS = 5  # recorded steps to choose from
TOKENS = 20_000  # of all replies of the page
LONGEST = 400  # of one reply
COLUMNS = ["rollout", "id", "position", "token", "student", "weight", "advantage", "reward"]


@dataclass(frozen=True)
class Reply:
    """`even` where every token has the same credit. A token is its row with its `text`, the `gap` between the teacher's
    log P and the student's, and the `share` 0..1, its credit's size within this reply."""

    label: str
    right: bool
    tokens: tuple[Any, ...]
    left_out: int
    even: bool


@dataclass(frozen=True)
class TokenCredit:
    """By step, the question's id with its replies. `without` are labels of methods that record no token tables;
    `localised` is whether credit falls on what decides, where that was measured."""

    steps: dict[int, list[tuple[str, list[Reply]]]]
    without: tuple[str, ...]
    localised: Measured | None = None


def token_credit(suite: Suite) -> TokenCredit | None:
    labels = {m: label for m, label in row_labels(suite).items() if m != paper.BASE}
    runs = {m: next(run for run in suite.runs if run.method == m) for m in labels}
    files = {m: found for m, run in runs.items() if (found := _files(run))}
    localised = localisation(suite)
    recorded = sorted({step for found in files.values() for step in found})
    chosen = [recorded[round(i * (len(recorded) - 1) / (STEPS - 1))] for i in range(STEPS)] if recorded else []
    budget = TOKENS // (len(set(chosen)) * 2 * len(files) or 1)
    steps = {}
    for step in dict.fromkeys(chosen):
        tables = {m: table for m, found in files.items() if step in found and (table := _read(found[step])) is not None}
        if shown := _step(tables, labels, min(LONGEST, budget)):
            steps[step] = shown
    without = tuple(labels[m] for m in labels if m not in files)
    return TokenCredit(steps, without, localised) if steps or localised else None


def _files(run: Run) -> dict[int, Path]:
    return {int(path.stem.removeprefix("step")): path for path in sorted(run.folder.glob("tokens/step*.parquet"))}


def _read(path: Path) -> pd.DataFrame | None:
    table = stored(path)
    if table is None:
        return None
    teachers = [name for name in table if str(name).startswith("teacher")]
    return table.assign(teacher=table[teachers[0]]) if teachers and {*COLUMNS} <= {*table} else None


def _both(table: pd.DataFrame) -> list[str]:
    """The questions with a right and a wrong reply, in their order."""
    found = table.groupby("id", sort=False)["reward"].agg(["min", "max"])
    return [str(name) for name in found.index[found["min"] < found["max"]]]


def _step(tables: dict[str, pd.DataFrame], labels: dict[str, str], longest: int) -> list[tuple[str, list[Reply]]]:
    """A question that all methods have both kinds of replies to, else each its own first."""
    with_both = {m: _both(table) for m, table in tables.items()}
    shared = [i for i in next(iter(with_both.values()), []) if all(i in found for found in with_both.values())]
    items = {m: shared[0] if shared else found[0] for m, found in with_both.items() if found}
    shown: dict[str, list[Reply]] = {}
    for method, item in items.items():
        rows = tables[method][tables[method]["id"] == item]
        for right, reward in ((True, rows["reward"].max()), (False, rows["reward"].min())):
            first = rows[rows["reward"] == reward]["rollout"].iloc[0]
            shown.setdefault(item, []).append(_reply(labels[method], right, rows[rows["rollout"] == first], longest))
    return list(shown.items())


def _reply(label: str, right: bool, rows: pd.DataFrame, longest: int) -> Reply:
    rows = rows.sort_values("position")
    size = rows["advantage"].abs()
    low, high = float(size.min()), float(size.max())
    even = high - low < 1e-6 * max(high, 1e-12)
    share = 0.0 if even else (size - low) / (high - low)
    rows = rows.assign(text=rows["token"].map(str), gap=rows["teacher"] - rows["student"], share=share)
    return Reply(label, right, tuple(rows[:longest].itertuples()), max(0, len(rows) - longest), even)


def _json(data: TokenCredit) -> dict[str, Any]:
    localised = data.localised.json() if data.localised else {}
    return {"token_credit": {"steps": list(data.steps), "without": data.without, "localisation": localised}}


TOKENS_SECTION = Section("tokens", token_credit, template(__file__), "Token credit", json=_json)
