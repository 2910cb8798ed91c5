"""Which gradient a loss follows in expectation, and the paper's theory on tables small enough to enumerate."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import Credit, Method, Rollouts, Tokens
from methods.functional import divergence
from methods.grpo_opsd import GRPOPlusOPSD
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.sdpo import SDPO
from tests.support.methods import credited, distilled

V = 6


def _logits(seed: int, n: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student_NV, teacher_NV = torch.randn(2, n, V, generator=generator, dtype=torch.float64) * 1.5
    return student_NV.requires_grad_(), teacher_NV


def _gradient(value: Tensor, of: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value, of)
    return gradient


# --- divergences ------------------------------------------------------------------------------------------------

SUPPORTS: list[dict[str, Any]] = [{}] + [
    {"support": support, "k": 3, "tail": tail} for support in ("student", "teacher") for tail in (True, False)
]


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("support", SUPPORTS, ids=str)
def test_gradient_is_that_of_finite_differences(beta: float, clip: float | None, support: dict[str, Any]) -> None:
    for seed in range(3):
        student_NV, teacher_NV = _logits(seed, 4)

        def value(x_NV: Tensor, teacher_NV: Tensor = teacher_NV) -> Tensor:
            return divergence(x_NV, teacher_NV, beta, clip=clip, **support).sum()

        got_NV, step = _gradient(value(student_NV), student_NV), 1e-6
        for place in itertools.product(range(4), range(V)):
            shift_NV = torch.zeros_like(teacher_NV)
            shift_NV[place] = step
            with torch.no_grad():
                slope = (value(student_NV + shift_NV) - value(student_NV - shift_NV)) / (2 * step)
            assert got_NV[place].item() == pytest.approx(slope.item(), abs=1e-8)
        assert got_NV.norm() > 1e-2


def _expected_gradient_of(beta: float, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
    """d D / d z_v = S_v (g_v - E_S g), on paper: g = (1-beta) log(S/M) in between, log(S/T) at 1, -T/S at 0."""
    s, t = student_NV.detach().softmax(-1), teacher_NV.softmax(-1)
    mixed = (1 - beta) * torch.log(s / ((1 - beta) * s + beta * t))
    g = {0.0: -t / s, 1.0: torch.log(s / t)}.get(beta, mixed)
    return s * (g - (s * g).sum(-1, keepdim=True))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_gradient_of_the_full_divergence_is_that_on_paper(beta: float) -> None:
    student_NV, teacher_NV = _logits(7, 5)
    value = distilled(OPSD(beta=beta), student_NV, teacher_NV).sum()
    expected_NV = _expected_gradient_of(beta, student_NV, teacher_NV)
    torch.testing.assert_close(_gradient(value, student_NV), expected_NV)


# --- sampled tokens: the table of estimators --------------------------------------------------------------------
# Expressions in log P_S (with gradient) and log P_T of a sampled token, and what they follow in expectation.


def _chi2_gradient(student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
    """1/2 sum_v S^2 / T, differentiated by hand: S_v (S_v / T_v - E_S [S / T])."""
    s, t = student_NV.detach().softmax(-1), teacher_NV.softmax(-1)
    return s * (s / t - (s * s / t).sum(-1, keepdim=True))


def _reverse(s: Tensor, t: Tensor) -> Tensor:
    return _expected_gradient_of(1.0, s, t)


def _forward(s: Tensor, t: Tensor) -> Tensor:
    return _expected_gradient_of(0.0, s, t)


def _zero(s: Tensor, t: Tensor) -> Tensor:
    return torch.zeros_like(t)


ESTIMATORS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "score function": (lambda s, t: (s - t).detach() * s, _reverse),
    "half square": (lambda s, t: 0.5 * (t - s) ** 2, _reverse),
    "released RLSD default": (lambda s, t: t - s, _zero),
    "its low_var_kl": (lambda s, t: (s - t).exp() - (s - t) - 1, _chi2_gradient),
    "k3": (lambda s, t: (t - s).exp() - (t - s) - 1, _forward),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_expected_gradient_of_sampled_estimators(name: str) -> None:
    expression, expected = ESTIMATORS[name]
    student_NV, teacher_NV = _logits(11)
    s_NV, t_NV = student_NV.log_softmax(-1), teacher_NV.log_softmax(-1)
    on_policy = (s_NV.exp().detach() * expression(s_NV, t_NV)).sum()  # every token, as often as it is sampled
    got_NV = _gradient(on_policy, student_NV)
    torch.testing.assert_close(got_NV, expected(student_NV, teacher_NV))
    for other in {_reverse, _forward, _chi2_gradient, _zero} - {expected}:
        assert (got_NV - other(student_NV, teacher_NV)).norm() > 1e-2, "the table tells them apart"


def _expected_update(method: Method, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
    """Gradient of what the method minimises on its own samples while no reward differs, the vocabulary enumerated:
    of its divergence, and of -A_t log P_S with its credit as A_t (the clipped surrogate on-policy)."""
    total = torch.zeros((), dtype=torch.float64)
    if method.distils:
        total = total + distilled(method, student_NV, teacher_NV).sum()
    if method.policy_gradient:
        s_V, t_V = student_NV[0].log_softmax(-1), teacher_NV[0].log_softmax(-1)
        none_B, one_BT = torch.zeros(V, dtype=torch.float64), torch.ones(V, 1, dtype=torch.float64)
        rollouts = Rollouts(1, none_B, none_B, one_BT, s_V.detach()[:, None])
        credit = credited(method, rollouts, t_V[:, None])
        credit_V = credit.advantages.expand(V, 1)[:, 0] if method.credit_uses_teacher else none_B
        total = total - (s_V.exp().detach() * credit_V * s_V).sum()
    return _gradient(total, student_NV)


def check_follows(method: Method, beta: float, scale: float = 1.0) -> None:
    """That the method's expected gradient is the one of its divergence, and none that vanishes."""
    for seed in range(4):
        student_NV, teacher_NV = _logits(seed)
        got_NV = _expected_update(method, student_NV, teacher_NV)
        assert got_NV.norm() > 1e-2 * scale, "zero in expectation"
        torch.testing.assert_close(got_NV, scale * _expected_gradient_of(beta, student_NV, teacher_NV))


@pytest.mark.parametrize(
    ("method", "beta", "scale"),
    [
        (OPSD(), 0.5, 1.0),
        (OPSD(beta=0.0), 0.0, 1.0),
        (OPSD(beta=1.0), 1.0, 1.0),
        (SDPO(topk=V), 0.5, 1.0),
        (SDPO(alpha=1.0, topk=V), 1.0, 1.0),
        (GRPOPlusOPSD(gamma=0.3), 0.5, 0.3),
        (GRPOPlusOPSD(form="advantage"), 1.0, 1.0),
    ],
    ids=str,
)
def test_a_method_follows_the_divergence_that_it_claims(method: Method, beta: float, scale: float) -> None:
    check_follows(method, beta, scale)


@dataclass(frozen=True)
class Degenerate(GRPOPlusOPSD):
    """mean(log P_T - log P_S) with the gradient through log P_S: an advantage of 1 for every token."""

    name = "degenerate"
    label = "Degenerate"
    form: Any = "advantage"

    def credit(self, rollouts: Rollouts) -> Credit:
        return Credit(rollouts.mask_BT)


@dataclass(frozen=True)
class Flipped(Degenerate):
    """The sign of the gap the wrong way round."""

    def credit(self, rollouts: Rollouts) -> Credit:
        assert rollouts.student_BT is not None
        return Credit(rollouts.student_BT - rollouts.teacher["reference"])


@dataclass(frozen=True)
class Sampled(OPSD):
    """One of the table's expressions in place of a divergence, at the frequencies of the student."""

    name = "sampled"
    label = "Sampled"
    expression: str = ""

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        s_NV, t_NV = student_NV.log_softmax(-1), teachers["reference"].log_softmax(-1)
        return (s_NV.exp().detach() * ESTIMATORS[self.expression][0](s_NV, t_NV)).sum(-1)


@pytest.mark.parametrize(
    "method",
    [Degenerate(), Flipped(), Sampled(expression="released RLSD default"), Sampled(expression="its low_var_kl")],
    ids=str,
)
def test_the_check_finds_an_estimator_that_follows_no_divergence(method: Method) -> None:
    for beta in (0.0, 0.5, 1.0):
        with pytest.raises(AssertionError):
            check_follows(method, beta)


def test_the_check_accepts_an_estimator_that_does() -> None:
    check_follows(Sampled(expression="score function"), 1.0)
    check_follows(Sampled(expression="k3"), 0.0)


# --- RLSD: the reward has the sign ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 25, 50])
def test_rlsd_keeps_the_sign_and_stays_within_its_bounds(step: int) -> None:
    torch.manual_seed(5)
    student_BT, teacher_BT = -torch.rand(2, 64, 9, dtype=torch.float64) * 6
    advantages_B = torch.randn(64, dtype=torch.float64)
    advantages_B[::4] = 0
    rollouts = Rollouts(step, advantages_B, advantages_B, torch.ones_like(student_BT), student_BT)
    credit_BT, mix = credited(RLSD(), rollouts, teacher_BT).advantages, 0.5 * (1 - step / 50)
    assert (credit_BT[::4] == 0).all(), "a group without a difference gives exactly nothing"
    live_B1 = advantages_B[advantages_B != 0][:, None]
    ratio_BT = credit_BT[advantages_B != 0] / live_B1
    assert (ratio_BT > 0).all()
    assert ratio_BT.min().item() == pytest.approx(1 - mix * 0.2)
    assert ratio_BT.max().item() == pytest.approx(1 + mix * 0.2)
    # A token that the teacher finds likelier gains: more praise, and less blame.
    gains_BT = (teacher_BT > student_BT)[advantages_B != 0]
    assert ((credit_BT[advantages_B != 0] >= live_B1) | ~gains_BT).all()
    assert ((credit_BT[advantages_B != 0] <= live_B1) | gains_BT).all()


# --- theory on tables -------------------------------------------------------------------------------------------

R, T = 3, 3  # privileged contexts, and tokens of a sequence


@dataclass(frozen=True)
class Tables:
    """A joint distribution of r and y, all its conditionals by summation, and a student that knows nothing of it."""

    joint: Tensor  # (R, V, V, V)

    @classmethod
    def drawn(cls, seed: int) -> "Tables":
        generator = torch.Generator().manual_seed(seed)
        weights = torch.rand(R, *[V] * T, generator=generator, dtype=torch.float64) ** 3
        return cls(weights / weights.sum())

    def of_prefix(self, *y: int) -> Tensor:
        """P(r, y_1..y_t) for every r."""
        return self.joint[(slice(None), *y)].flatten(1).sum(1) if len(y) < T else self.joint[(slice(None), *y)]

    @property
    def prior_R(self) -> Tensor:
        return self.of_prefix()

    def teacher_RV(self, *y: int) -> Tensor:
        """P(y_t | r, y_<t)."""
        return torch.stack([self.of_prefix(*y, v) for v in range(V)], 1) / self.of_prefix(*y)[:, None]


def test_theorem_1_a_told_teacher_costs_the_mutual_information() -> None:
    """E_r KL(P_T(r) || P_S) = KL(E_r P_T || P_S) + I(Y_t; R | y_<t), on prefixes that the student samples."""
    tables, (student_NV, _) = Tables.drawn(1), _logits(2, 1 + V)
    told = best = information = 0.0
    for first in (None, *range(V)):
        prefix, row = (() if first is None else (first,)), (0 if first is None else 1 + first)
        weight = 1.0 if first is None else student_NV[0].softmax(-1)[first].item()
        joint_RV = tables.prior_R[:, None] * tables.teacher_RV(*prefix)
        marginal_V, same_NV = joint_RV.sum(0), student_NV[row].expand(R, V)
        per_r_R = distilled(OPSD(beta=0.0), same_NV, tables.teacher_RV(*prefix).log())
        told += weight * (tables.prior_R * per_r_R).sum().item()
        best += weight * distilled(OPSD(beta=0.0), student_NV[row][None], marginal_V.log()[None]).item()
        product_RV = tables.prior_R[:, None] * marginal_V
        information += weight * (joint_RV * torch.log(joint_RV / product_RV)).sum().item()
    assert information > 1e-2
    assert told == pytest.approx(best + information, abs=1e-12)


def test_proposition_1_the_deviation_from_the_marginal_gradient_has_mean_zero() -> None:
    tables, (student_NV, _) = Tables.drawn(3), _logits(4)
    teacher_RV, prior_R1 = tables.teacher_RV(), tables.prior_R[:, None]
    marginal_V = (prior_R1 * teacher_RV).sum(0)

    def deviation_RV(beta: float) -> Tensor:
        def gradient(t_V: Tensor) -> Tensor:
            return _gradient(distilled(OPSD(beta=beta), student_NV, t_V.log()[None]).sum(), student_NV)[0]

        return torch.stack([gradient(t_V) for t_V in teacher_RV]) - gradient(marginal_V)

    delta_RV = deviation_RV(0.0)
    assert delta_RV.norm() > 1e-2
    torch.testing.assert_close((prior_R1 * delta_RV).sum(0), torch.zeros(V, dtype=torch.float64), atol=1e-12, rtol=0)
    # Its size: the variance over r of the teacher's probabilities (the softmax's own scores are one-hot here).
    variance = (prior_R1 * (teacher_RV - marginal_V) ** 2).sum()
    torch.testing.assert_close((prior_R1 * delta_RV**2).sum(), variance)
    # Linear in the teacher, which only KL(T || S) is: of the others' gradient the mean is another one.
    assert (prior_R1 * deviation_RV(0.5)).sum(0).norm() > 1e-4


def _weights(student_BT: Tensor, teacher_BT: Tensor, sign: float) -> Tensor:
    """RLSD's unclipped weights: lambda = 1 and a clip that nothing reaches."""
    ones_B = torch.full((len(student_BT),), sign, dtype=torch.float64)
    rollouts = Rollouts(1, ones_B, ones_B, torch.ones_like(student_BT), student_BT)
    weights_BT = credited(RLSD(mix=2.0, decay=2, clip=1e9), rollouts, teacher_BT).weights_BT
    assert weights_BT is not None
    return weights_BT


def test_theorem_4_weights_are_what_a_token_tells_about_the_context() -> None:
    """w_t = P(r | y_<=t) / P(r | y_<t), whose product is P(r | y) / P(r), if P_S is the mixture of the teachers."""
    tables, sequences = Tables.drawn(6), list(itertools.product(range(V), repeat=T))
    for r in range(R):
        student, teacher, updates, whole = [], [], [], []
        for y in sequences:
            seen = [tables.of_prefix(*y[:t]) for t in range(T + 1)]  # P(r, y_<=t)
            posterior = [(p[r] / p.sum()).item() for p in seen]
            student.append([(b.sum() / a.sum()).log().item() for a, b in itertools.pairwise(seen)])
            teacher.append([(b[r] / a[r]).log().item() for a, b in itertools.pairwise(seen)])
            updates.append([b / a for a, b in itertools.pairwise(posterior)])
            whole.append(posterior[-1] / tables.prior_R[r].item())
        student_BT, teacher_BT, updates_BT, whole_B = map(_tensor, (student, teacher, updates, whole))
        praised_BT = _weights(student_BT, teacher_BT, 1.0)
        torch.testing.assert_close(praised_BT, updates_BT)
        torch.testing.assert_close(praised_BT.prod(1), whole_B)
        torch.testing.assert_close(_weights(student_BT, teacher_BT, -1.0), 1 / updates_BT)
        # Not so for a student that is no mixture of its teachers.
        assert (_weights(student_BT.roll(1, 0), teacher_BT, 1.0) - updates_BT).abs().max() > 0.1


def _tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
