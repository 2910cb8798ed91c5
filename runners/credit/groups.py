"""The groups that a run has recorded, its models, and the problems behind drawn items."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from eval.benches.drawn import Problem
from eval.core.errors import UserError
from runners.credit.tokens import Models, Replies
from runners.data.rows import drawn_problems
from runners.data.source import DRAWN
from runners.forward.logprobs import expose_hidden_states
from runners.launch.evaluate import whole
from runners.probe.subject import Item, every_item
from runners.run.config import Settings
from runners.run.model import load
from runners.run.run_dir import RunDir


def recorded(run: RunDir, step: int) -> pd.DataFrame:
    """The rollouts of a step. Raises UserError where it has none."""
    files = sorted((run.path / "completions").glob(f"step{step:05d}*.parquet"))
    if not files:
        raise UserError(f"{run.path} has no rollouts of step {step}: choose one of completions/")
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def step_of(run: RunDir, item: str) -> int:
    """The first step whose rollouts answer the item; raises UserError where none does."""
    for file in sorted((run.path / "completions").glob("step*.parquet")):
        if (pd.read_parquet(file, columns=["id"])["id"] == item).any():
            return _step(file)
    raise UserError(f"no rollout of {run.path} answers {item!r}: an item is an `id` of completions/*.parquet")


def groups(settings: Settings, rollouts: pd.DataFrame, n: int) -> list[Replies]:
    """The first `n` groups of these rollouts, in their order."""
    chosen = dict(islice(((str(key), part) for key, part in rollouts.groupby("id", sort=False)), n))
    return [
        Replies(found, part["reply"].tolist(), part["reward"].tolist(), part["advantage"].tolist())
        for found, part in zip(items_named(settings, list(chosen)), chosen.values(), strict=True)
    ]


def recorded_groups(run: RunDir, checkpoint: int, n: int, lively: bool = False) -> list[Replies]:
    """Up to `n` groups: those of the checkpoint's step, then of the steps before it; for the model before training
    those of step 1 and after. lively: only groups that have something to learn from, rewards that differ.

    Raises UserError where the checkpoint's step has no rollouts, or no group is left.
    """
    steps = sorted({_step(file) for file in (run.path / "completions").glob("step*.parquet")})
    steps = [step for step in reversed(steps) if step < checkpoint] if checkpoint else steps[1:]
    chosen, kept = list[pd.DataFrame](), 0
    for step in (max(1, checkpoint), *steps):
        rollouts = recorded(run, step)
        if lively:
            rollouts = rollouts[rollouts.groupby("id")["advantage"].transform(lambda found: found.ne(0).any())]
        chosen.append(rollouts)
        kept += rollouts["id"].nunique()
        if kept >= n:
            break
    if not kept:
        raise UserError(f"all rewards of {run.path} agree within their groups: no credit to look at")
    return groups(run.settings(), pd.concat(chosen, ignore_index=True), n)


def _step(file: Path) -> int:
    return int(file.stem.partition("-")[0].removeprefix("step"))


def items_named(settings: Settings, names: Sequence[str]) -> list[Item]:
    """Items of the run's training in the order asked for; raises UserError where one is not in its data any more."""
    rows = islice(every_item(settings), settings.train.steps * settings.train.prompts)
    found, wanted = dict[str, Item](), set(names)
    while wanted and (row := next(rows, None)):
        if row.id in wanted:
            found[row.id] = row
            wanted.remove(row.id)
    if wanted:
        raise UserError(f"{settings.data.source} has no item {sorted(wanted)[0]!r}: an item is an `id` of completions/")
    return [found[name] for name in names]


def problem_of(settings: Settings, item: str) -> Problem | None:
    """The drawn problem behind an item, None for data of another kind."""
    if settings.data.source not in DRAWN:
        return None
    return next(islice(drawn_problems(settings.seed), int(item.rpartition("_")[2]), None))


def models_of(run: RunDir, settings: Settings, step: int) -> Models:
    """The weights of a step, 0 for the model before training. Raises UserError where they are not kept."""
    initial, processor = load(settings.model)
    student: Any = initial
    if step:
        if (kept := run.evaluable()).get(step) is None:
            raise UserError(
                f"{run.path} keeps no weights of step {step}: choose one of {', '.join(map(str, [0, *kept]))}"
            )
        with whole(kept[step], settings.model.path) as folder:
            student, _ = load(settings.model.model_copy(update={"path": folder}))
        expose_hidden_states(student.eval())
    expose_hidden_states(initial.eval())
    return Models(student, initial, processor)
