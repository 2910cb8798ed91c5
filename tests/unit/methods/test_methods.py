"""What each method is to the harness - its teacher, what that is told, what feeds which loss - and the properties
that the papers claim. The vectors are in test_golden.py, the gradients in test_gradients.py."""

import math
from typing import Any

import pytest
import torch

from methods import METHODS, Context, Credit, Method, Rollouts, Sibling, Task, Teacher
from methods.functional import divergence, importance_ratio, linear_decay, masked_mean
from methods.grpo import GRPO
from methods.grpo_opsd import GRPOPlusOPSD
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.sdpo import SDPO
from methods.words import context
from tests.support.methods import credited, distilled

GROUP = [Sibling("wrong", 0.0), Sibling("first right", 1.0), Sibling("right", 1.0), Sibling("bad", 0.0)]
FAILED = [Sibling("wrong", 0.0), Sibling("worse one", 0.0)]


def _tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def _rollouts(advantages: Any, student: Any, mask: Any = None, step: int = 1) -> Rollouts:
    student_BT, advantages_B = _tensor(student), _tensor(advantages)
    mask_BT = torch.ones_like(student_BT) if mask is None else _tensor(mask)
    return Rollouts(step, advantages_B, advantages_B, mask_BT, student_BT)


def _credit(method: Method, advantages: Any, student: Any, teacher: Any, mask: Any = None, step: int = 1) -> Credit:
    return credited(method, _rollouts(advantages, student, mask, step), _tensor(teacher))


def _told(method: Method, task: Task, group: list[Sibling], own: int) -> Context | None:
    """What the only teacher is told."""
    told = method.contexts(task, group, own)
    assert len(told) <= 1
    return next(iter(told.values()), None)


# --- hooks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "teacher", "policy_gradient", "credit_uses_teacher", "distils", "importance"),
    [
        (GRPO(), None, True, False, False, None),
        (OPSD(), Teacher("initial"), False, False, True, None),
        (OPSD(weights="live"), Teacher("live"), False, False, True, None),
        (SDPO(), Teacher("ema", rate=0.05), False, False, True, 2.0),
        (SDPO(rate=None, importance=None), Teacher("live"), False, False, True, None),
        (GRPOPlusOPSD(), Teacher("initial"), True, False, True, None),
        (GRPOPlusOPSD(form="advantage"), Teacher("initial"), True, True, False, None),
        (RLSD(), Teacher("snapshot", every=10), True, True, False, None),
        (RLSD(sync=20), Teacher("snapshot", every=20), True, True, False, None),
    ],
)
def test_what_the_harness_asks_of_a_method(
    method: Method,
    teacher: Teacher | None,
    policy_gradient: bool,
    credit_uses_teacher: bool,
    distils: bool,
    importance: float | None,
) -> None:
    assert list(method.teachers.values()) == ([] if teacher is None else [teacher])
    asked = (method.policy_gradient, method.credit_uses_teacher, method.distils, method.importance_clip)
    assert asked == (policy_gradient, credit_uses_teacher, distils, importance)


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name: str) -> None:
    method: Method = METHODS[name]()
    assert method.name == name
    assert method.label
    assert (not method.teachers) == (not method.distils and not method.credit_uses_teacher)
    assert method.policy_gradient or method.distils, "it would not train at all"
    if not method.distils:
        with pytest.raises(NotImplementedError):
            distilled(method, torch.zeros(1, 2), torch.zeros(1, 2))


# --- what the teacher is told -----------------------------------------------------------------------------------


def test_sdpo_is_told_the_first_successful_sibling_and_never_itself() -> None:
    method, task = SDPO(), Task("7")
    told = [_told(method, task, GROUP, own) for own in range(4)]
    assert told == [context("sibling", text) for text in ("first right", "right", "first right", "first right")]
    alone = [Sibling("right", 1.0), Sibling("wrong", 0.0)]
    assert _told(method, task, alone, 0) is None
    assert _told(method, task, alone, 1) == context("sibling", "right")
    assert _told(method, task, FAILED, 1) is None
    assert SDPO(success=0.5).contexts(task, [Sibling("nearly", 0.5), Sibling("wrong", 0.0)], 1)


def test_sdpo_of_the_rlsd_authors_is_told_the_shortest_right_and_wrong_rollout_whoever_wrote_them() -> None:
    method = SDPO(demonstration="shortest")
    told = [_told(method, Task("7"), GROUP, own) for own in range(4)]
    assert told == [context("sibling_and_failure", "right", "bad")] * 4, "its own rollout may be the one"
    assert _told(method, Task("7"), FAILED, 0) == context("sibling_and_failure", "", "wrong"), "never masked"
    assert _told(method, Task("7"), [Sibling("r", 1.0)], 0) == context("sibling_and_failure", "r", "")


@pytest.mark.parametrize(
    ("method", "task", "expected"),
    [
        (GRPO(), Task("7", "long"), None),
        (RLSD(), Task("7", "long"), ("answer", "7")),
        (OPSD(), Task("7", "long"), ("solution", "long")),
        (OPSD(), Task("7"), ("answer", "7")),
        (OPSD(told="answer"), Task("7", "long"), ("answer", "7")),
        (OPSD(told="own_words"), Task("7", "long"), ("own_words", "long")),
        (OPSD(told="own_words"), Task("7"), ("answer", "7")),
        (GRPOPlusOPSD(), Task("7", "long"), ("solution", "long")),
        (GRPOPlusOPSD(form="advantage", told="answer"), Task("7", "long"), ("answer", "7")),
    ],
)
def test_what_the_others_are_told(method: Method, task: Task, expected: Any) -> None:
    assert _told(method, task, GROUP, 0) == (expected and context(*expected))


# --- credit -----------------------------------------------------------------------------------------------------


def test_grpo_leaves_the_advantages_alone() -> None:
    rollouts = _rollouts([1.0, -2.0], [[0.0], [0.0]])
    assert torch.equal(GRPO().credit(rollouts).advantages, rollouts.advantages_B)


def test_rlsd_credit_by_hand() -> None:
    """A = -2, Delta = (log 2, log 1/2, log 1.1), lambda = 0.49: w = (1/2, 2, 1/1.1), clipped to (.8, 1.2, 1/1.1)."""
    credit = _credit(RLSD(), [-2.0], [[0.0] * 3], [[math.log(2), math.log(0.5), math.log(1.1)]])
    expected = [-2 * (0.51 + 0.49 * w) for w in (0.8, 1.2, 1 / 1.1)]
    torch.testing.assert_close(credit.advantages[0], _tensor(expected))
    assert credit.metrics["lambda"] == pytest.approx(0.49)
    assert credit.metrics["clip_rate"] == pytest.approx(2 / 3)
    assert credit.metrics["weight_mean"] == pytest.approx((0.5 + 2 + 1 / 1.1) / 3)
    assert credit.weights_BT is not None
    torch.testing.assert_close(credit.weights_BT[0] * -2, credit.advantages[0])


def test_rlsd_says_nothing_on_padding_with_an_untold_teacher_or_after_the_decay() -> None:
    torch.manual_seed(0)
    student_BT, teacher_BT, advantages = -torch.rand(3, 5) * 3, -torch.rand(3, 5) * 3, [1.5, -0.5, 0.3]
    plain_BT = _tensor(advantages)[:, None].expand(3, 5)
    same = _credit(RLSD(), advantages, student_BT, student_BT)
    torch.testing.assert_close(same.advantages, plain_BT)
    for step, decayed in ((49, False), (50, True), (51, True)):
        late = _credit(RLSD(), advantages, student_BT, teacher_BT, step=step)
        assert torch.equal(late.advantages, plain_BT) == decayed, "lambda is 0 from step 50 on"
    padded = _credit(RLSD(), [1.0], [[-1.0, 0.0]], [[-0.5, -9.0]], mask=[[1, 0]])
    assert padded.advantages[0, 1] == 0
    assert padded.metrics["clip_rate"] == 1, "of the one token that is no padding"


def test_rlsd_s_figures_are_of_the_rollouts_that_have_an_advantage() -> None:
    """Weights 1/2, 1 and 2 under an advantage; without one the weight is 1 whatever the teacher says."""
    half = math.log(2)
    student_BT, teacher_BT = [[-1.0, -1.0, -1.0]] * 2, [[-1 - half, -1.0, -1 + half], [-9.0, -9.0, -9.0]]
    metrics = _credit(RLSD(), [1.0, 0.0], student_BT, teacher_BT).metrics
    assert metrics["clip_rate"] == pytest.approx(2 / 3)
    assert metrics["clip_rate_of_all"] == pytest.approx(2 / 6)
    assert metrics["weight_mean"] == pytest.approx(3.5 / 3)
    assert [metrics[f"weight_p{share}"] for share in (10, 50, 90)] == pytest.approx([0.5, 1, 2])


def test_hybrid_interpolates_losses() -> None:
    torch.manual_seed(3)
    student_NV, teacher_NV = torch.randn(3, 7), torch.randn(3, 7)
    rollouts = _rollouts([1.0, -1.0], [[0.0], [0.0]])
    method = GRPOPlusOPSD(gamma=0.3)
    torch.testing.assert_close(method.credit(rollouts).advantages, 0.7 * rollouts.advantages_B)
    whole_N = distilled(OPSD(), student_NV, teacher_NV)
    torch.testing.assert_close(distilled(method, student_NV, teacher_NV), 0.3 * whole_N)


def test_hybrid_adds_advantages() -> None:
    method, teacher = GRPOPlusOPSD(form="advantage", alpha=0.5), [[-1.5, -1.0], [-4.0, 9.0]]
    credit = _credit(method, [1.0, -3.0], [[-1.0, -2.0], [-1.0, 0.0]], teacher, [[1, 1], [1, 0]])
    torch.testing.assert_close(credit.advantages, _tensor([[0.0, 1.5], [-4.5, 0.0]]))
    assert credit.metrics["distil_share"] == pytest.approx((0.5 + 1 + 3) / 3)


# --- divergence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_divergence_by_hand_over_two_tokens(beta: float, clip: float | None) -> None:
    """P_S = (3/4, 1/4), P_T = (1/2, 1/2), from the definition with plain logarithms."""
    s, t = (0.75, 0.25), (0.5, 0.5)
    m = [(1 - beta) * a + beta * b for a, b in zip(s, t, strict=True)]

    def kl(p: Any, q: Any) -> list[float]:
        return [a * math.log(a / b) for a, b in zip(p, q, strict=True)]

    mixed = [beta * a + (1 - beta) * b for a, b in zip(kl(t, m), kl(s, m), strict=True)]
    entries = {0.0: kl(t, s), 1.0: kl(s, t)}.get(beta, mixed)
    expected = sum(e if clip is None else min(e, clip) for e in entries)
    got = divergence(_tensor([s]).log(), _tensor([t]).log(), beta, clip=clip)
    assert got.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("support", "tail", "s", "t"),
    [
        ("student", True, (0.6, 0.4), (0.3, 0.7)),  # the student's top-1 is token 0
        ("teacher", True, (0.1, 0.9), (0.5, 0.5)),  # the teacher's is token 2
        ("student", False, (2 / 3, 1 / 3), (3 / 5, 2 / 5)),  # top-2: tokens 0 and 1, renormalised
    ],
)
def test_support_by_hand(support: Any, tail: bool, s: tuple[float, ...], t: tuple[float, ...]) -> None:
    student_1V, teacher_1V = _tensor([[0.6, 0.3, 0.1]]).log(), _tensor([[0.3, 0.2, 0.5]]).log()
    expected = sum(a * math.log(a / b) for a, b in zip(t, s, strict=True))
    got = divergence(student_1V, teacher_1V, 0.0, support=support, k=1 if tail else 2, tail=tail)
    assert got.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("support", ["student", "teacher"])
@pytest.mark.parametrize("tail", [True, False])
def test_topk_of_the_whole_vocabulary_is_the_full_divergence(support: Any, tail: bool) -> None:
    torch.manual_seed(1)
    student_NV, teacher_NV = torch.randn(4, 9, dtype=torch.float64), torch.randn(4, 9, dtype=torch.float64)
    full_N = divergence(student_NV, teacher_NV, 0.5)
    assert torch.equal(divergence(student_NV, teacher_NV, 0.5, support=support, k=9, tail=tail), full_N)
    # k = V - 1: the tail bucket is the one token left out, so that nothing is merged
    nearly_N = divergence(student_NV, teacher_NV, 0.5, support=support, k=8, tail=True)
    torch.testing.assert_close(nearly_N, full_N)
    coarse_N = divergence(student_NV, teacher_NV, 0.5, support=support, k=2, tail=True)
    assert (coarse_N <= full_N + 1e-12).all(), "merging outcomes cannot add divergence"
    assert (coarse_N > 0).all()


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name]().distils])
def test_a_divergence_of_equals_is_zero_and_half_precision_is_widened(name: str) -> None:
    torch.manual_seed(2)
    method, student_NV, teacher_NV = METHODS[name](), torch.randn(3, 7), torch.randn(3, 7)
    value_N = distilled(method, student_NV, teacher_NV)
    assert value_N.shape == (3,)
    assert (value_N > 0).all()
    torch.testing.assert_close(distilled(method, teacher_NV, teacher_NV), torch.zeros(3), atol=1e-6, rtol=0)
    half = distilled(method, student_NV.bfloat16(), teacher_NV.bfloat16())
    assert half.dtype == torch.float32
    exact = distilled(method, student_NV.bfloat16().double(), teacher_NV.bfloat16().double())
    torch.testing.assert_close(half.double(), exact, atol=1e-6, rtol=1e-5)


# --- small functions --------------------------------------------------------------------------------------------


def test_importance_ratio_is_clipped_above_bounded_in_the_logarithm_and_detached() -> None:
    logp = torch.tensor([-1.0, -1.0, -50.0, 0.0], requires_grad=True)
    ratio = importance_ratio(logp, torch.tensor([-1.5, -3.0, 0.0, -1.0]), 2.0)
    torch.testing.assert_close(ratio, torch.tensor([math.exp(0.5), 2.0, math.exp(-20), 2.0]))
    assert not ratio.requires_grad


def test_linear_decay_reaches_zero_and_stays() -> None:
    assert [linear_decay(0.8, 4, step) for step in (1, 2, 4, 9)] == pytest.approx([0.6, 0.4, 0.0, 0.0])


def test_masked_mean_of_nothing_is_zero() -> None:
    assert masked_mean(torch.tensor([[3.0, 5.0]]), torch.tensor([[0, 1]])) == 5
    assert masked_mean(torch.tensor([[3.0]]), torch.tensor([[0]])) == 0
