"""What a method does not need is not computed, and leaving it out changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import METHODS, SELF_CONTAINED
from runners.forward.batch import Rows
from runners.forward.hidden_states import Layouts
from runners.train import run as train
from runners.train import trainer
from tests.support.helpers import history_of, lottery, small

ONE_STEP = ("train.steps=1", "train.micro_batch=8", "train.max_completion_tokens=12")
# Of a group in halves: each makes its pass, and what is told is told of the whole group at once.
DEAD_PARTS, PARTS = [("grad", 1)] * 2, [("grad", 2)] * 2
DEAD = ("no grad", 4)  # for the entropy of all completion tokens, those of rollouts that no update forwards


@pytest.fixture(autouse=True)
def _first_group_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two groups of four rollouts, the first has one reward throughout."""

    def reward(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
        return [0.0] * 4 + [float(i % 2) for i in range(len(completions) - 4)]

    monkeypatch.setitem(train.REWARDS, "accuracy", {reward: 1.0})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every forward pass of rows: with or without gradient, and how many rows."""
    seen, whole = list[tuple[str, int]](), Layouts.hidden_states

    def counted(self: Layouts, model: Any, rows: Rows, group: Any = None) -> Tensor:
        seen.append(("grad" if torch.is_grad_enabled() else "no grad", len(rows.prompt_BP)))
        return whole(self, model, rows, group)

    monkeypatch.setattr(Layouts, "hidden_states", counted)
    return seen


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("grpo", [DEAD, ("grad", 4)]),
        ("rlsd", [("no grad", 4), DEAD, ("grad", 4)]),
        ("rlsd params.mix=0.0", [DEAD, ("grad", 4)]),
        ("rlsd params.decay=1", [DEAD, ("grad", 4)]),
        ("opsd", [("no grad", 8), ("grad", 8)]),
        ("grpo_opsd", [("no grad", 8), ("grad", 8)]),
        ("grpo_opsd params.form=advantage", [("no grad", 8), ("grad", 8)]),
        ("sdpo", [DEAD, ("no grad", 4), ("grad", 4)]),
        ("rlsd train.micro_batch=2", [("no grad", 1), ("no grad", 4), DEAD, *DEAD_PARTS, *PARTS]),
        ("sdpo train.micro_batch=2", [DEAD, ("no grad", 2), *DEAD_PARTS, ("no grad", 4), *PARTS]),
    ],
)
def test_the_passes_of_a_step(
    tmp_path: Path, passes: list[tuple[str, int]], method: str, expected: list[tuple[str, int]]
) -> None:
    name, *overrides = method.split()
    rows = history_of(tmp_path, small(name, *ONE_STEP, *overrides))
    assert passes == expected
    assert rows[0]["grad_norm"] > 0


def test_a_batch_without_any_gradient_still_makes_its_pass(
    tmp_path: Path, passes: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lambda completions, **_: [0.0] * len(completions): 1.0})
    rows = history_of(tmp_path, small("rlsd", *ONE_STEP))
    assert passes == [("no grad", 8), ("grad", 1)]
    assert (rows[0]["loss"], rows[0]["grad_norm"]) == (0, 0)


@pytest.mark.parametrize("name", SELF_CONTAINED)
def test_leaving_out_changes_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lean = history_of(tmp_path / "lean", small(name, "train.steps=2"))
    monkeypatch.setattr(trainer, "needed_rows", lambda batch, method, kl: list(range(len(batch["advantages"]))))
    monkeypatch.setattr(METHODS[name], "asks_teacher", lambda self, step, a_B: torch.ones_like(a_B, dtype=torch.bool))
    full = history_of(tmp_path / "full", small(name, "train.steps=2"))
    for ours, theirs in zip(lean, full, strict=True):
        assert ours["reward"] == theirs["reward"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4, abs=1e-7)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


def test_two_updates_on_one_generation_still_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the student's log-probabilities are those of the rollouts' own weights, scored once."""
    monkeypatch.setitem(train.REWARDS, "accuracy", {lottery: 1.0})
    rows = history_of(tmp_path, small("rlsd", "train.updates=2", "train.micro_batch=2"))
    assert any(row["grad_norm"] > 0 for row in rows)
    assert "bench/gap" in rows[0]
