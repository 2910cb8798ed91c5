"""What a method from outside may ask of the harness, each by one such method on the real trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eval.core.errors import UserError
from methods import Context, Credit, Method, Rollouts, Route, Sibling, Task, Teacher, Tokens
from methods.functional import divergence
from runners.run.model import load
from runners.train import run as train
from tests.support.helpers import history_of, lottery, small

Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _lively_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lottery: 1.0})


@dataclass(frozen=True)
class Gaps(Method):
    """Scores and changes nothing. `kind` reads: the prompt as it is, told an answer, and other pictures."""

    name = "gaps"
    label = "Gaps"
    kind: str = "snapshot"

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {name: Teacher(self.kind, every=100) for name in ("same", "told", "blind", "grey")}  # type: ignore[arg-type]

    @property
    def credit_uses_teacher(self) -> bool:
        return True

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        grey = [picture.convert("L").convert("RGB") for picture in task.pictures]
        return {
            "same": Context(""),
            "told": Context(f"The answer is {task.answer}.", task.answer),
            "blind": Context("", pictures=[]),
            "grey": Context("", pictures=grey),
        }

    def credit(self, rollouts: Rollouts) -> Credit:
        assert rollouts.student_BT is not None
        gaps = {name: (t_BT - rollouts.student_BT).abs() * rollouts.mask_BT for name, t_BT in rollouts.teacher.items()}
        return Credit(rollouts.advantages_B, {f"most_{name}": gap_BT.max().item() for name, gap_BT in gaps.items()})


@pytest.mark.parametrize("shared", ["true", "false"])
def test_a_context_has_words_and_pictures_of_its_own(tmp_path: Path, shared: str) -> None:
    (row,) = history_of(tmp_path, small("grpo", "train.steps=1", f"train.shared_prefix={shared}"), Gaps())
    # Row by row, prompts that were padded to the longest context's are rounded otherwise.
    assert row["bench/most_same"] <= (0 if shared == "true" else 1e-5)
    assert min(row[f"bench/most_{name}"] for name in ("told", "blind", "grey")) > 1e-3
    assert {"bench/gap_same", "bench/gap_told", "bench/gap_blind", "bench/gap_grey"} <= row.keys()


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The embedded model with its last layer moved."""
    folder = tmp_path_factory.mktemp("external")
    model, processor = load(small("grpo").model)
    with torch.no_grad():
        for weight in model.model.language_model.layers[-1].parameters():
            weight.mul_(1.05)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def test_an_external_model_teaches(tmp_path: Path, other_model: str) -> None:
    (own,) = history_of(tmp_path / "own", small("grpo", "train.steps=1", "model.teacher=embedded"), Gaps("external"))
    assert own["bench/most_same"] == 0
    settings = small("grpo", "train.steps=1", f"model.teacher={other_model}")
    (other,) = history_of(tmp_path / "other", settings, Gaps("external"))
    assert other["bench/most_same"] > 1e-3
    assert own["reward"] == other["reward"], "the rollouts are the policy's"
    with pytest.raises(UserError, match="--set model\\.teacher="):
        history_of(tmp_path / "none", small("grpo", "train.steps=1"), Gaps("external"))


def test_opd_moves_towards_the_external_model_alone(tmp_path: Path, other_model: str) -> None:
    (same,) = history_of(tmp_path / "own", small("opd", "train.steps=1", "model.teacher=embedded"))
    assert same["bench/divergence"] == pytest.approx(0, abs=1e-6)
    other = history_of(
        tmp_path / "other",
        small("opd", "train.steps=8", "data.rows=2", "train.learning_rate=2e-4", f"model.teacher={other_model}"),
    )
    assert other[0]["grad_norm"] > 0 and other[-1]["bench/divergence"] < other[0]["bench/divergence"]


@dataclass(frozen=True)
class Calibrated(Method):
    """Learns nothing before it has seen two steps; with a teacher's entropy beside it."""

    name = "calibrated"
    label = "Calibrated"

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"same": Teacher("live")}

    @property
    def credit_uses_teacher(self) -> bool:
        return True

    @property
    def credit_uses_entropy(self) -> bool:
        return True

    def credit(self, rollouts: Rollouts) -> Credit:
        seen = rollouts.state["seen"] + 1 if rollouts.state else torch.ones(())
        entropy = (rollouts.entropy["same"] * rollouts.mask_BT).sum() / rollouts.mask_BT.sum()
        metrics = {"seen": seen.item(), "teacher_entropy": entropy.item()}
        return Credit(rollouts.advantages_B * (seen > 2), metrics, state={"seen": seen})


def test_state_goes_from_step_to_step_and_into_checkpoints(tmp_path: Path) -> None:
    settings = small("grpo")
    rows = history_of(tmp_path / "whole", settings, Calibrated(), saved=True)
    assert [row["bench/seen"] for row in rows] == [1, 2, 3]
    assert [row["grad_norm"] > 0 for row in rows] == [False, False, True]
    (file,) = (tmp_path / "whole").glob("checkpoints/*/method.safetensors")
    assert load_file(file)["seen"] == 3
    # The live teacher untold is the student.
    assert rows[2]["bench/teacher_entropy"] == pytest.approx(rows[2]["bench/entropy"], rel=1e-4)


@dataclass(frozen=True)
class Halved(Method):
    """Right rollouts feed the policy gradient, wrong ones a divergence, twice as much at the end of a reply."""

    name = "halved"
    label = "Halved"
    right: bool = True
    wrong: bool = True

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"told": Teacher("initial")}

    @property
    def distils(self) -> bool:
        return True

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"told": Context(f"The answer is {task.answer}.", task.answer)}

    def route(self, rollouts: Rollouts) -> Route:
        assert rollouts.accuracy_B is not None
        right_B = rollouts.accuracy_B > 0.5
        return Route(right_B & self.right, ~right_B & self.wrong)

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        assert (tokens.accuracy_N[tokens.told["told"]] < 0.5).all(), "told are the wrong ones alone"
        assert (tokens.position_N < tokens.length_N).all()
        assert ((tokens.solved_N > 0) & (tokens.solved_N < 1))[tokens.advantage_N != 0].all()
        late_N = 1 + (tokens.position_N >= tokens.length_N / 2).float()
        return late_N * divergence(student_NV, teachers["told"], 0.5)


def test_rollouts_are_routed(tmp_path: Path) -> None:
    """With one of the two ways closed, what is left of the gradient is the other's."""
    settings = small("grpo", "train.steps=1", "train.learning_rate=0")
    norms = {}
    for right in (True, False):
        for wrong in (True, False):
            (row,) = history_of(tmp_path / f"{right}{wrong}", settings, Halved(right, wrong))
            norms[right, wrong] = row["grad_norm"]
            assert ("bench/divergence" in row) == wrong
    assert norms[False, False] == 0
    assert norms[True, False] > 0 and norms[False, True] > 0
    assert norms[True, True] not in (norms[True, False], norms[False, True])


@dataclass(frozen=True)
class Unknown(Gaps):
    """Tells somebody who is no teacher of its."""

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"nobody": Context("x")}


def test_a_context_without_a_teacher_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contexts names nobody, and teachers only same, told, blind, grey"):
        history_of(tmp_path, small("grpo", "train.steps=1"), Unknown())
