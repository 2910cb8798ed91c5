"""Every value of the fixed vectors, reproduced through the path that a training run takes: TRL's advantages and clipped
surrogate, the methods' credit, and the trainer's distillation loss."""

import json
import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from methods import Credit, Method, Rollouts
from methods.functional import linear_decay
from methods.grpo import GRPO
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.sdpo import SDPO
from runners.forward.chunked_head import States
from runners.forward.lm_head import PLAIN, Head
from runners.forward.logprobs import expose_hidden_states
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.train import run as train
from runners.train.distill import LOSSES, Distillation
from runners.train.run import build_trainer
from runners.train.trainer import BenchTrainer
from runners.train.trl_batch import needed_rows
from tests.support.helpers import small
from tests.support.methods import credited, distilled
from tests.support.paths import SHARED

GOLDEN = SHARED / "spec" / "golden" / "golden.json"
PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-5)]
# Method, aggregation, and the entry of `loss` that it must give.
LOSS = {
    "grpo_token": (GRPO(), "token"),
    "grpo_seq": (GRPO(), "sequence"),
    "rlsd_token": (RLSD(mix=0.74, decay=2), "token"),  # lambda = 0.37 at the first step: 0.74 (1 - 1/2)
    "rlsd_seq": (RLSD(mix=0.74, decay=2), "sequence"),
    "opsd_fkl_noclip": (OPSD(beta=0.0), "token"),
    "opsd_fkl_clip": (OPSD(beta=0.0, clip=0.05), "token"),
    "opsd_jsd_half": (OPSD(), "token"),
    "sdpo_jsd_top5_tail_token": (SDPO(topk=5), "token"),
    "sdpo_jsd_top5_tail_seq": (SDPO(topk=5), "sequence"),
    "sdpo_rkl_full": (SDPO(alpha=1.0, topk=10**6), "token"),
}
NOT_OURS = {"sdar_beta5"}  # SDAR's gated loss
READ = {"tokens", "mask", "rewards", "old_logp", "group_size"}
READ |= {"student_logits", "teacher_logits", "logp_student", "logp_teacher"}
REPRODUCED = {"adv", "rlsd_adv_lam0p37", "rlsd_w", "rlsd_clip_low", "rlsd_clip_high", "loss"}
ALONE = {
    "opsd_clip_min_token_loss",
    "eq15",
    "eq16",
    "lambda_schedule",
    "grpo_adv_1of8_eps1e-6",
    "grpo_adv_1of8_trl_eps1e-4",
    "grpo_adv_mixed_format_reward",
}
ONE_OF_EIGHT, SHAPED = [1.0] + [0.0] * 7, [1.0, 0.9] + [0.1] * 4 + [0.0] * 2


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    if not GOLDEN.exists():
        pytest.skip("needs ../shared/spec/golden/golden.json")
    values: dict[str, Any] = json.loads(GOLDEN.read_text())
    return values


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> BenchTrainer:
    settings = small("grpo", "train.generations=8", "train.micro_batch=16")
    run = RunDir(tmp_path_factory.mktemp("golden"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(train.REWARDS, "accuracy", {_given: 1.0})
        built = build_trainer(settings, build_method("grpo", {}), run, [])
    built.current_gradient_accumulation_steps = 1
    return built


def _given(completions: list[Any], **_: object) -> list[float]:
    return ONE_OF_EIGHT + SHAPED


def test_no_vector_is_forgotten(golden: dict[str, Any]) -> None:
    assert set(golden) == ALONE | {"vectors"}
    assert set(golden["vectors"]) == READ | REPRODUCED
    assert set(golden["vectors"]["loss"]) == set(LOSS) | NOT_OURS
    assert {k for row in golden["lambda_schedule"].values() for k in row} == {
        "official_rule_decay50",
        "official_decay60",
        "rlcsd_decay50",
    }


# --- advantages -------------------------------------------------------------------------------------------------


def _advantages(rewards: list[float], size: int, epsilon: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """(r - mean) / (std + epsilon) with the unbiased deviation, for the vectors of the code bases with 1e-6."""
    rewards_GB = torch.tensor(rewards, dtype=dtype).view(-1, size)
    normal_GB = (rewards_GB - rewards_GB.mean(1, True)) / (rewards_GB.std(1, keepdim=True, correction=1) + epsilon)
    return normal_GB.flatten()


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_advantages_of_the_formula(golden: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    v = golden["vectors"]
    cases = [
        (ONE_OF_EIGHT, 8, 1e-6, _spread(golden["grpo_adv_1of8_eps1e-6"])),
        (ONE_OF_EIGHT, 8, 1e-4, _spread(golden["grpo_adv_1of8_trl_eps1e-4"])),
        (SHAPED, 8, 1e-6, golden["grpo_adv_mixed_format_reward"]),
        (v["rewards"], v["group_size"], 1e-6, v["adv"]),
    ]
    for rewards, size, epsilon, expected in cases:
        _close(_advantages(rewards, size, epsilon, dtype), expected, tolerance)


def _spread(pair: list[float]) -> list[float]:
    return [pair[0]] + [pair[1]] * 7


def _close(got: Tensor, expected: Any, tolerance: float) -> None:
    torch.testing.assert_close(got.double(), _tensor(expected), atol=tolerance, rtol=0)


def _tensor(values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def test_advantages_of_the_trainer_are_the_vector_of_trl(golden: dict[str, Any], trainer: BenchTrainer) -> None:
    """Through TRL's own code, on rollouts that nobody sampled; TRL keeps rewards in float32."""

    def stub(prompt_ids: Any, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        return [[7, 8, 2] for _ in prompt_ids], None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_generate_single_turn", stub)
        trainer.model.train()
        rows = [trainer.train_dataset[i // 8] for i in range(16)]
        got_B = trainer._generate_and_score_completions(rows)["advantages"]
    _close(got_B[:8], _spread(golden["grpo_adv_1of8_trl_eps1e-4"]), 1e-5)
    _close(got_B[8:], _advantages(SHAPED, 8, 1e-4), 1e-5)
    # The other vector of the shaped reward is of an epsilon of 1e-6; the two lie this far apart.
    _close(got_B[8:], golden["grpo_adv_mixed_format_reward"], 1e-3)


# --- RLSD -------------------------------------------------------------------------------------------------------


def test_lambda_schedule(golden: dict[str, Any]) -> None:
    for name, expected in golden["lambda_schedule"].items():
        step = int(name)
        assert linear_decay(0.5, 50, step) == pytest.approx(expected["official_rule_decay50"], abs=1e-12)
        assert linear_decay(0.5, 60, step) == pytest.approx(expected["official_decay60"], abs=1e-12)
        # RLCSD counts steps from 0: one step later everywhere, and no longer different once both are 0.
        assert linear_decay(0.5, 50, step - 1) == pytest.approx(expected["rlcsd_decay50"], abs=1e-12)
        assert (abs(linear_decay(0.5, 50, step) - expected["rlcsd_decay50"]) > 1e-3) == (step <= 50)


@pytest.mark.parametrize(("sign", "row"), [(1.0, 0), (-1.0, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_rlsd_is_equation_15_and_not_16(
    golden: dict[str, Any], sign: float, row: int, dtype: torch.dtype, tolerance: float
) -> None:
    weights_BT = torch.tensor([[0.5, 0.9, 1.1, 2.0]], dtype=dtype)
    advantages_B = torch.tensor([sign], dtype=dtype)
    one_BT, none_BT = torch.ones_like(weights_BT), torch.zeros_like(weights_BT)
    rollouts = Rollouts(1, advantages_B, advantages_B, one_BT, none_BT)
    got_T = credited(RLSD(mix=2.0, decay=2), rollouts, sign * weights_BT.log()).advantages[0]  # lambda = 1
    _close(got_T, golden["eq15"][row], tolerance)
    differs = [abs(a - b) > 0.1 for a, b in zip(golden["eq15"][row], golden["eq16"][row], strict=True)]
    assert any(differs)
    assert ((got_T.double() - torch.tensor(golden["eq16"][row])).abs() > 0.1).tolist() == differs


class Vectors(SimpleNamespace):
    """The vectors as tensors of one precision."""

    def __init__(self, golden: dict[str, Any], dtype: torch.dtype) -> None:
        values = {k: torch.tensor(v, dtype=dtype) for k, v in golden["vectors"].items() if k in READ | {"adv"}}
        super().__init__(**values, expected=golden["vectors"])
        self.tokens, self.advantages = self.tokens.long(), self.adv

    def rollouts(self) -> Rollouts:
        return Rollouts(1, self.rewards, self.advantages, self.mask, self.logp_student)

    def credit(self, method: Method) -> Credit:
        return credited(method, self.rollouts(), self.logp_teacher)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_rlsd_weights_advantages_and_clip_rates(golden: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    v = Vectors(golden, dtype)
    for logits, logp in ((v.student_logits, v.logp_student), (v.teacher_logits, v.logp_teacher)):
        _close(logits.log_softmax(-1).gather(-1, v.tokens[..., None])[..., 0], logp, tolerance)
    credit = v.credit(LOSS["rlsd_token"][0])
    _close(credit.advantages, _tensor(v.expected["rlsd_adv_lam0p37"]) * v.mask.double(), tolerance)
    assert credit.metrics["lambda"] == pytest.approx(0.37)
    low, high = v.expected["rlsd_clip_low"], v.expected["rlsd_clip_high"]
    assert credit.metrics["clip_rate_of_all"] == pytest.approx(low + high, abs=1e-7)
    # The weights before the clip: with lambda = 1 and a clip that nothing reaches, they are the credit itself.
    bare = v.credit(RLSD(mix=2.0, decay=2, clip=1e9)).weights_BT
    assert bare is not None
    torch.testing.assert_close(bare, torch.tensor(v.expected["rlsd_w"], dtype=dtype), atol=tolerance, rtol=tolerance)
    mask = v.mask.bool()
    assert (bare < 0.8)[mask].double().mean().item() == pytest.approx(low, abs=1e-9)
    assert (bare > 1.2)[mask].double().mean().item() == pytest.approx(high, abs=1e-9)


# --- losses -----------------------------------------------------------------------------------------------------


class Logits(nn.Module):
    """A model that says the given logits: they are its hidden states, and its head is the identity."""

    def __init__(self, logits_BTV: Tensor) -> None:
        super().__init__()
        self.said_BTV = nn.Parameter(torch.cat([logits_BTV, logits_BTV[:, :1]], 1))
        self.head = nn.Linear(logits_BTV.shape[-1], logits_BTV.shape[-1], bias=False, dtype=logits_BTV.dtype)
        nn.init.eye_(self.head.weight)
        self.config = SimpleNamespace(model_type="logits", vision_config=None)
        with patch("runners.forward.logprobs.form_of", return_value=PLAIN):  # no family that it could be asked as
            expose_hidden_states(self)

    def base_model(self, input_ids: Tensor, **_: Any) -> Any:
        return SimpleNamespace(last_hidden_state=self.said_BTV[input_ids[:, 0]])

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self) -> None: ...


def _loss(trainer: BenchTrainer, method: Method, aggregation: str, v: Vectors) -> float:
    """What the trainer would back-propagate for this batch."""
    inputs = {
        "prompt_ids": torch.arange(8)[:, None],  # the number of the rollout, by which the model below knows it
        "prompt_mask": torch.ones(8, 1, dtype=torch.long),
        "completion_ids": v.tokens,
        "completion_mask": v.mask,
        "old_per_token_logps": v.old_logp,
        "num_items_in_batch": v.mask.sum(),
        "advantages": v.credit(method).advantages,
        **{f"{name}/told": torch.ones(8, dtype=torch.bool) for name in method.teachers},
        **{
            name: torch.zeros(8)
            for name in ("rewards", "accuracy", "group_advantages", "solved", "rest/entropy", "rest/apart")
        },
        "told_items": v.mask.sum(),
    }
    student, identity = Logits(v.student_logits), torch.eye(v.student_logits.shape[-1], dtype=v.logp_student.dtype)

    def states(inputs: Any) -> dict[str, States]:
        keep = needed_rows(inputs, method, trainer.kl)
        said = States(v.teacher_logits[keep][v.mask[keep].bool()], Head(identity, None))
        return dict.fromkeys(method.teachers, said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "method", method)
        patch.setattr(trainer, "_distillation", Distillation(trainer, method))
        patch.setattr(trainer, "loss_type", LOSSES[aggregation])
        patch.setattr(trainer, "_states", states)
        return trainer._compute_loss(student, inputs).item()


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("name", LOSS)
def test_losses(golden: dict[str, Any], trainer: BenchTrainer, name: str, dtype: torch.dtype, tolerance: float) -> None:
    method, aggregation = LOSS[name]
    got = _loss(trainer, method, aggregation, Vectors(golden, dtype))
    assert got == pytest.approx(golden["vectors"]["loss"][name], abs=tolerance)


def test_the_importance_ratio_is_part_of_those_losses(golden: dict[str, Any], trainer: BenchTrainer) -> None:
    """Negative control: without the rollouts' own log-probabilities no vector that depends on them is met."""
    v = Vectors(golden, torch.float64)
    v.old_logp = v.logp_student
    for name in ("grpo_seq", "rlsd_token", "sdpo_rkl_full"):
        method, aggregation = LOSS[name]
        assert abs(_loss(trainer, method, aggregation, v) - golden["vectors"]["loss"][name]) > 1e-4


def test_the_clip_makes_token_losses_negative(golden: dict[str, Any]) -> None:
    v = Vectors(golden, torch.float64)
    got_BT = distilled(OPSD(beta=0.0, clip=0.05), v.student_logits.flatten(0, 1), v.teacher_logits.flatten(0, 1))
    lowest = min(_clipped(s, t, 0.05) for s, t in zip(*(_rows(golden, w) for w in ("student", "teacher")), strict=True))
    assert got_BT.min().item() == pytest.approx(lowest, abs=1e-12)
    # The json's own figure, -0.2524, is of logits that it does not hold: on those that it holds nothing is below -0.08.
    assert golden["opsd_clip_min_token_loss"] < lowest < -0.07


def _rows(golden: dict[str, Any], who: str) -> list[list[float]]:
    return [row for rollout in golden["vectors"][f"{who}_logits"] for row in rollout]


def _clipped(s: list[float], t: list[float], clip: float) -> float:
    """sum_v min(P_T (log P_T - log P_S), clip), with plain logarithms."""
    logs = [[z - math.log(sum(math.exp(a) for a in row)) for z in row] for row in (s, t)]
    return sum(min(math.exp(b) * (b - a), clip) for a, b in zip(*logs, strict=True))


def test_the_vector_of_sdar_is_another_methods(golden: dict[str, Any]) -> None:
    """mean_t sigma(5 Delta) (log P_T - log P_S), as methods.md has it; nothing here computes it."""
    v = Vectors(golden, torch.float64)
    delta_BT = v.logp_teacher - v.logp_student
    got = (torch.sigmoid(5 * delta_BT) * delta_BT * v.mask).sum() / v.mask.sum()
    assert got.item() == pytest.approx(golden["vectors"]["loss"]["sdar_beta5"], abs=1e-9)
