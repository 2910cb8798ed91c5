"""The methods against vectors worked out independently in float64, and the properties that the papers claim."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from methods import METHODS, Method, Rollouts, Sibling, Task
from methods.functional import generalized_jsd, linear_decay, topk_jsd
from methods.grpo_opsd import GRPOPlusOPSD
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.sdpo import SDPO

GOLDEN = Path(__file__).parents[3] / "shared" / "spec" / "golden" / "golden.json"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    if not GOLDEN.exists():
        pytest.skip("needs ../shared/spec/golden/golden.json")
    vectors: dict[str, Any] = json.loads(GOLDEN.read_text())
    return vectors


def _tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _rollouts(
    advantages: Any, student: Any, teacher: Any, mask: Any = None, step: int = 1, rewards: Any = None
) -> Rollouts:
    student_BT = _tensor(student)
    mask_BT = torch.ones_like(student_BT) if mask is None else _tensor(mask)
    advantages_B = _tensor(advantages)
    rewards_B = advantages_B if rewards is None else _tensor(rewards)
    return Rollouts(step, rewards_B, advantages_B, mask_BT, student_BT, _tensor(teacher))


def test_rlsd_reproduces_the_golden_advantages(golden: dict[str, Any]) -> None:
    v = golden["vectors"]
    # lambda = 0.37 at the first step: 0.74 (1 - 1/2)
    method = RLSD(mix=0.74, decay=2)
    credit = method.credit(_rollouts(v["adv"], v["logp_student"], v["logp_teacher"], v["mask"]))
    expected_BT = _tensor(v["rlsd_adv_lam0p37"]) * _tensor(v["mask"])
    torch.testing.assert_close(credit.advantages, expected_BT, atol=1e-9, rtol=0)
    assert credit.metrics["lambda"] == pytest.approx(0.37)
    mask = _tensor(v["mask"]).bool()
    weight_BT = _tensor(v["rlsd_w"])
    clipped = ((weight_BT < 0.8) | (weight_BT > 1.2))[mask].double().mean().item()
    assert credit.metrics["clip_rate"] == pytest.approx(clipped, abs=1e-6)


@pytest.mark.parametrize(("sign", "row"), [(1.0, 0), (-1.0, 1)])
def test_rlsd_clips_both_sides_as_equation_15(golden: dict[str, Any], sign: float, row: int) -> None:
    weights = torch.tensor([[0.5, 0.9, 1.1, 2.0]], dtype=torch.float64)
    delta = (sign * weights.log()).tolist()
    credit = RLSD(mix=2.0, decay=2).credit(_rollouts([sign], [[0.0] * 4], delta))  # lambda = 1
    torch.testing.assert_close(credit.advantages[0], _tensor(golden["eq15"][row]), atol=1e-12, rtol=0)


def test_rlsd_properties() -> None:
    torch.manual_seed(0)
    student, teacher = -torch.rand(6, 5) * 3, -torch.rand(6, 5) * 3
    advantages = [1.5, -0.5, 0.0, 2.0, -1.0, 0.3]
    credit = RLSD().credit(_rollouts(advantages, student.tolist(), teacher.tolist()))
    ratio_BT = credit.advantages / _tensor(advantages)[:, None]
    for row, advantage in enumerate(advantages):
        if advantage == 0:
            assert credit.advantages[row].abs().max() == 0, "a dead group gives nothing"
        else:
            assert (ratio_BT[row] >= 1 - 0.49 * 0.2 - 1e-12).all()
            assert (ratio_BT[row] <= 1 + 0.49 * 0.2 + 1e-12).all()
    same = RLSD().credit(_rollouts(advantages, student.tolist(), student.tolist()))
    torch.testing.assert_close(same.advantages, _tensor(advantages)[:, None].expand(6, 5))
    over = RLSD().credit(_rollouts(advantages, student.tolist(), teacher.tolist(), step=50))
    assert torch.equal(over.advantages, _tensor(advantages)[:, None].expand(6, 5)), "lambda is 0 from step 50 on"
    padded = RLSD().credit(_rollouts([1.0], [[-1.0, 0.0]], [[-0.5, -9.0]], mask=[[1, 0]]))
    assert padded.advantages[0, 1] == 0


def test_lambda_schedule(golden: dict[str, Any]) -> None:
    for step, expected in golden["lambda_schedule"].items():
        assert linear_decay(0.5, 50, int(step)) == pytest.approx(expected["official_rule_decay50"], abs=1e-12)
        assert linear_decay(0.5, 60, int(step)) == pytest.approx(expected["official_decay60"], abs=1e-12)


def _token_mean(values_BT: torch.Tensor, mask_BT: torch.Tensor) -> float:
    return ((values_BT * mask_BT).sum() / mask_BT.sum()).item()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_divergences_reproduce_the_golden_losses(golden: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    v = golden["vectors"]
    student, teacher = _tensor(v["student_logits"]).to(dtype), _tensor(v["teacher_logits"]).to(dtype)
    mask, loss = _tensor(v["mask"]).to(dtype), v["loss"]
    assert _token_mean(generalized_jsd(student, teacher, 0.0), mask) == pytest.approx(
        loss["opsd_fkl_noclip"], abs=tolerance
    )
    assert _token_mean(OPSD().distill(student, teacher), mask) == pytest.approx(loss["opsd_jsd_half"], abs=tolerance)
    # The vectors hold SDPO's importance clip; one update per rollout makes the ratio 1 in the harness.
    ratio = (_tensor(v["logp_student"]) - _tensor(v["old_logp"])).exp().clamp(max=2).to(dtype)
    reverse = SDPO(alpha=1.0, topk=10**6).distill(student, teacher) * ratio
    assert _token_mean(reverse, mask) == pytest.approx(loss["sdpo_rkl_full"], abs=tolerance)
    top5 = SDPO(topk=5).distill(student, teacher) * ratio
    assert _token_mean(top5, mask) == pytest.approx(loss["sdpo_jsd_top5_tail_token"], abs=tolerance)
    per_sequence = ((top5 * mask).sum(1) / mask.sum(1)).mean().item()
    assert per_sequence == pytest.approx(loss["sdpo_jsd_top5_tail_seq"], abs=tolerance)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_divergence_by_hand_over_two_tokens(beta: float) -> None:
    """P_S = (3/4, 1/4), P_T = (1/2, 1/2), from the definition with plain logarithms."""
    s, t = torch.tensor([0.75, 0.25], dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)

    def kl(p: torch.Tensor, q: torch.Tensor) -> float:
        return float(sum(a * torch.log(a / b) for a, b in zip(p, q, strict=True)))

    m = (1 - beta) * s + beta * t
    expected = {0.0: kl(t, s), 1.0: kl(s, t)}.get(beta, beta * kl(t, m) + (1 - beta) * kl(s, m))
    got = generalized_jsd(s.log()[None], t.log()[None], beta)
    assert got.item() == pytest.approx(expected, abs=1e-12)


def test_topk_of_the_whole_vocabulary_is_the_full_divergence_and_the_tail_closes_the_rest() -> None:
    torch.manual_seed(1)
    student, teacher = torch.randn(4, 9, dtype=torch.float64), torch.randn(4, 9, dtype=torch.float64)
    full = generalized_jsd(student, teacher, 0.5)
    torch.testing.assert_close(topk_jsd(student, teacher, 0.5, 9), full)
    coarse = topk_jsd(student, teacher, 0.5, 2)
    assert (coarse <= full + 1e-12).all(), "merging outcomes cannot add divergence"
    assert (coarse > 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_gradient_of_a_divergence_flows_to_the_student_alone(name: str) -> None:
    method = METHODS[name]()
    if not method.distils:
        with pytest.raises(NotImplementedError):
            method.distill(torch.zeros(1, 2), torch.zeros(1, 2))
        return
    torch.manual_seed(2)
    student, teacher = torch.randn(3, 7, requires_grad=True), torch.randn(3, 7)
    value = method.distill(student, teacher)
    assert value.shape == (3,)
    assert (value >= 0).all()
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert gradient.abs().sum() > 0
    assert torch.isfinite(gradient).all()
    same = method.distill(teacher, teacher)
    torch.testing.assert_close(same, torch.zeros(3), atol=1e-6, rtol=0)


def test_hybrid_interpolates() -> None:
    torch.manual_seed(3)
    student, teacher = torch.randn(3, 7), torch.randn(3, 7)
    rollouts = _rollouts([1.0, -1.0], [[0.0], [0.0]], [[0.0], [0.0]])
    method = GRPOPlusOPSD(gamma=0.3)
    torch.testing.assert_close(method.credit(rollouts).advantages, 0.7 * rollouts.advantages_B)
    torch.testing.assert_close(method.distill(student, teacher), 0.3 * OPSD().distill(student, teacher))


GROUP = [Sibling("wrong", 0.0), Sibling("first right", 1.0), Sibling("second right", 1.0), Sibling("worse", 0.0)]


def test_sdpo_is_told_the_first_successful_sibling_and_never_itself() -> None:
    method, task = SDPO(), Task("7")
    told = [method.privilege(task, GROUP, own) for own in range(4)]
    assert [t and t.text for t in told] == ["first right", "second right", "first right", "first right"]
    alone = [Sibling("right", 1.0), Sibling("wrong", 0.0)]
    assert method.privilege(task, alone, 0) is None
    assert method.privilege(task, [Sibling("wrong", 0.0)] * 4, 2) is None


def test_what_the_others_are_told() -> None:
    assert METHODS["grpo"]().privilege(Task("7", "long"), GROUP, 0) is None
    assert RLSD().privilege(Task("7", "long"), GROUP, 0) == ("answer", "7")
    assert OPSD().privilege(Task("7", "long"), GROUP, 0) == ("solution", "long")
    assert OPSD().privilege(Task("7"), GROUP, 0) == ("answer", "7")
    assert OPSD(told="answer").privilege(Task("7", "long"), GROUP, 0) == ("answer", "7")


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name: str) -> None:
    method: Method = METHODS[name]()
    assert method.name == name
    assert method.label
    assert (method.teacher.kind == "none") == (not method.distils and not method.credit_uses_teacher)
    assert method.policy_gradient or method.distils, "it would not train at all"
