"""A run ends at its first number that is not finite, and says at which step, in which phase, and what it was."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from eval.core import files
from runners.run import listing
from runners.run.finite import NotFinite
from runners.run.model import BASE
from runners.run.run_dir import RunDir
from runners.train import run as train_run
from runners.train.callbacks import RunCallback
from runners.train.run import train
from tests.support.helpers import lottery, metrics, small

TINY = ("train.max_completion_tokens=6", "train.steps=4", "train.checkpoint_every=2")
BROKEN_CREDIT = """
from dataclasses import dataclass
from methods import METHODS, Credit

@dataclass(frozen=True)
class Mine(METHODS["grpo"]):
    name = "mine"
    label = "Mine"

    def credit(self, rollouts):
        advantages = rollouts.advantages_B.clone()
        if rollouts.step == 3:
            advantages[[2, 5]] = float("nan")
        return Credit(advantages)
"""
BROKEN_BY_ROW = """
from dataclasses import dataclass
from methods import METHODS

@dataclass(frozen=True)
class Mine(METHODS["rlsd"]):
    name = "mine"
    label = "Mine"

    def credit(self, rollouts):
        credit = super().credit(rollouts)
        if rollouts.step == 3:
            credit.advantages.fill_(float("inf"))
        return credit
"""
BROKEN_DIVERGENCE = """
from dataclasses import dataclass
from methods import METHODS

@dataclass(frozen=True)
class Mine(METHODS["opsd"]):
    name = "mine"
    label = "Mine"

    def distill(self, student_NV, teachers, tokens):
        divergence_N = super().distill(student_NV, teachers, tokens)
        return divergence_N / 0 if tokens.step == 3 else divergence_N
"""


@pytest.fixture(autouse=True)
def _unequal_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train_run.REWARDS, "accuracy", {lottery: 1.0})


def _stopped(folder: Path, method: str, *overrides: str, **values: float) -> tuple[str, RunDir]:
    """The line that ends the run, and the run. `values` of train.* that the settings might refuse."""
    run, settings = RunDir(folder / "suite" / "run"), small(method, *TINY, *overrides)
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=values)})
    with pytest.raises(NotFinite) as stopped:
        train(settings, run, "suite")
    line = str(stopped.value)
    assert "\n" not in line
    assert (run.info()["status"], run.info()["reason"]) == ("failed", line)
    assert f"failed: {line}" in [cell for column in listing.table(folder).columns for cell in column.cells]
    for row in files.read_lines(run.metrics).rows:
        assert all(math.isfinite(value) for name, value in row.items() if name != "lr")
    return line, run


def _plugin(folder: Path, source: str) -> str:
    (folder / "mine.py").write_text(source)
    return f"{folder / 'mine.py'}:Mine"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (BROKEN_CREDIT, "step 3, credit: advantages not finite (rollouts 2, 5); the last whole checkpoint is kept"),
        (BROKEN_BY_ROW, "step 3, credit: advantages not finite (rollout"),
        (BROKEN_DIVERGENCE, "step 3, update: divergence not finite (rollouts 0, 1, 2, 3); "),
    ],
    ids=["credit", "credit by row", "divergence"],
)
def test_a_method_s_own(tmp_path: Path, source: str, said: str) -> None:
    line, run = _stopped(tmp_path, _plugin(tmp_path, source))
    assert line.startswith(said)
    assert [row["step"] for row in metrics(run.path)] == [1, 2]
    checkpoint = run.last_checkpoint()
    assert checkpoint is not None
    assert (checkpoint.name, run.info()["steps_done"]) == ("checkpoint-2", 2)
    assert not run.lock.exists()


@pytest.mark.parametrize(
    ("rate", "every", "said"),
    [
        (math.inf, 1, "step 1, update: weights not finite; "),
        (math.inf, 4, "step 2, rollouts: logits not finite (rollouts 0, 1, "),
        (1e9, 1, "step 2, rollouts: logits not finite (rollouts 0, 1, "),
    ],
)
def test_weights_by_the_learning_rate(tmp_path: Path, rate: float, every: int, said: str) -> None:
    """Loss and gradient are finite still. They are found before they become a checkpoint, or else as they are used."""
    line, run = _stopped(tmp_path, "grpo", f"train.checkpoint_every={every}", learning_rate=rate)
    assert line.startswith(said)
    assert (run.last_checkpoint() is None) == (rate == math.inf)


@pytest.mark.parametrize("method", ["grpo", "opsd", "rlsd"])
def test_weights_of_the_model(tmp_path: Path, method: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(BASE, broken)
    weights = load_file(broken / "model.safetensors")
    name = next(name for name in weights if "layers.1" in name and "mlp" in name)
    weights[name].view(-1)[7] = math.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    line, run = _stopped(tmp_path, method, f"model.path={broken}")
    assert line.startswith("step 1, rollouts: logits not finite (rollouts 0, 1, 2, 3, 4, 5, 6, 7);")
    assert not run.metrics.exists()


def test_a_temperature_that_overflows(tmp_path: Path) -> None:
    line, _ = _stopped(tmp_path, "grpo", temperature=1e-40)
    assert line.startswith("step 1, rollouts: logits not finite (rollouts 0,")


class Poison(TrainerCallback):
    """Spoils a gradient after the loss was seen to be finite."""

    def on_pre_optimizer_step(self, *_: object, **more: Any) -> None:
        next(p for p in more["model"].parameters() if p.grad is not None).grad.fill_(math.nan)


def test_a_gradient_leaves_no_checkpoint(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with pytest.raises(NotFinite, match="step 1, update: weights not finite;"):
        train(small("grpo", *TINY, "train.checkpoint_every=1"), run, "suite", [Poison()])
    assert run.last_checkpoint() is None


def test_the_gradient_norm_is_looked_at_before_its_step_is_written_down(tmp_path: Path) -> None:
    callback, logs = RunCallback(RunDir(tmp_path), None, [], None, updates=2), {"loss": 0.5, "grad_norm": math.nan}
    with pytest.raises(NotFinite, match="step 3, update: gradient norm not finite;"):
        callback.on_log(Any, SimpleNamespace(is_world_process_zero=True, global_step=6), Any, logs)
    assert not (tmp_path / "metrics.jsonl").exists()
