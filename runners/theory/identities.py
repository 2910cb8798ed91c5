"""The RLSD paper's statements, both sides of each by exact enumeration of the tabular model, with the shipped code.

Theorem 2 (a loss changes by what student and teacher change) holds by its wording, and Theorem 3 follows from runs and
not from a table. Of the paper's propositions the first is stated in the sources at hand; for the second and third stand
the claims of its sections A.3 and 4.3.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from methods import Rollouts
from methods.functional import divergence
from methods.rlsd import RLSD
from runners.theory.tabular import T, V, X, bayesian, drawn, told_words

TOLERANCE = 1e-10


class Check(NamedTuple):
    """`left` and `right` are to be equal entry by entry; `broken` is a variant of `left` that must not be."""

    name: str
    statement: str
    left: Tensor
    right: Tensor
    broken: Tensor
    broken_by: str

    @property
    def sides(self) -> tuple[float, float]:
        """The Euclidean length of each."""
        return self.left.norm().item(), self.right.norm().item()

    @property
    def apart(self) -> float:
        return (self.left - self.right).abs().max().item()

    @property
    def caught(self) -> float:
        return (self.broken - self.right).abs().max().item()

    @property
    def holds(self) -> bool:
        return self.apart <= TOLERANCE < self.caught


class Gap(NamedTuple):
    """Nats a token, (T,) each, of one reply."""

    opsd: Tensor
    marginal: Tensor
    information: Tensor


def gap(student_TV: Tensor, teachers_RTV: Tensor, chance_R: Sequence[float]) -> Gap:
    """From logits after one reply's prefixes, the teachers' one for each reference. In double precision inside."""
    student_TV, teacher_RTV = student_TV.double(), teachers_RTV.double().log_softmax(-1)
    chance_R1 = torch.tensor(chance_R, dtype=torch.float64, device=student_TV.device)[:, None]
    marginal_TV = (chance_R1[..., None].log() + teacher_RTV).logsumexp(0)
    entropy_RT = -(teacher_RTV.exp() * teacher_RTV).sum(-1)
    return Gap(
        (chance_R1 * _kl(teacher_RTV, student_TV, 0)).sum(0),
        _kl(marginal_TV, student_TV, 0),
        -(marginal_TV.exp() * marginal_TV).sum(-1) - (chance_R1 * entropy_RT).sum(0),
    )


def theorem_1() -> Check:
    """The told loss is the loss against the marginal teacher, and what a token says of the reference."""
    model, sides = drawn(), torch.zeros(4, dtype=torch.float64)
    chance = model.prefixes()
    for x, t in product(range(X), range(T)):  # after each prompt, all prefixes P of one length
        student_PV, teacher_RPV, reference_R = model.student[t][x], model.teacher[t][x], model.reference_XR[x]
        reverse_P = (reference_R[:, None] * _kl(teacher_RPV, student_PV, 1)).sum(0)
        weight_P = model.prompt_X[x] * chance[t][x]
        parts = *gap(student_PV, teacher_RPV, reference_R.tolist()), reverse_P
        sides += torch.stack([(weight_P * part_P).sum() for part_P in parts])
    told, marginal, information, reverse = sides
    return Check(
        "Theorem 1",
        "L_OPSD = L* + I(Y_t; R | X, Y_<t)",
        told[None],
        (marginal + information)[None],
        reverse[None],
        "KL(S || T) in the place of KL(T || S)",
    )


def proposition_1() -> tuple[Check, Check]:
    """A sample's gradient is the marginal one plus a deviation: its mean is zero, its mean square a sum over pairs."""
    model = drawn()
    student_V, teacher_RV = model.student[0][0, 0], model.teacher[0][0, :, 0]
    reference_R1 = model.reference_XR[0][:, None]
    gradient_RV = torch.stack([_gradient(student_V, teacher_V) for teacher_V in teacher_RV])
    teacher_RV = teacher_RV.softmax(-1)
    marginal_V = (reference_R1 * teacher_RV).sum(0)
    apart_RV = gradient_RV - _gradient(student_V, marginal_V.log())
    score_VV = torch.eye(V, dtype=torch.float64) - student_V.softmax(-1)  # of each token, in the logits
    centred_RV = teacher_RV - marginal_V
    covariance_VV = (reference_R1[..., None] * centred_RV[:, :, None] * centred_RV[:, None]).sum(0)
    square = (reference_R1[:, 0] * apart_RV.square().sum(1)).sum()
    pairs = (covariance_VV * (score_VV @ score_VV.T)).sum()
    diagonal = (covariance_VV.diagonal() * score_VV.square().sum(1)).sum()
    return (
        Check(
            "Proposition 1 (i)",
            "E_r[delta(r)] = 0",
            (reference_R1 * apart_RV).sum(0),
            torch.zeros(V, dtype=torch.float64),
            apart_RV.mean(0),
            "the references equally likely",
        ),
        Check(
            "Proposition 1 (ii)",
            "E_r|delta(r)|^2 = sum_vu Cov_r[P_T(v), P_T(u)] <s_v, s_u>",
            square[None],
            pairs[None],
            diagonal[None],
            "the paper's diagonal terms alone: a softmax has no orthogonal scores",
        ),
    )


def bandwidth() -> list[Check]:
    """A.3: however the target is compressed, the gradient goes on depending on the reference."""
    model, checks = drawn(), []
    student_V, teacher_RV = model.student[0][0, 0], model.teacher[0][0, :, 0]
    p_V, teacher_RV = student_V.softmax(-1), teacher_RV.softmax(-1)
    first_R, own = teacher_RV.argmax(-1), int(p_V.argmax())
    eye_VV = torch.eye(V, dtype=torch.float64)
    variants = {
        "whole vocabulary": (p_V - teacher_RV, lambda logits_V, r: _kl(teacher_RV[r].log(), logits_V, 0)),
        "teacher's top-1": (p_V - eye_VV[first_R], lambda logits_V, r: -logits_V.log_softmax(-1)[first_R[r]]),
        "student's top-1": (
            teacher_RV[:, own, None] * (p_V - eye_VV[own]),
            lambda logits_V, r: -teacher_RV[r, own] * logits_V.log_softmax(-1)[own],
        ),
    }
    for name, (formula_RV, loss) in variants.items():
        found = [_slope(student_V, partial(loss, r=r)) for r in range(len(teacher_RV))]
        fixed_RV = formula_RV.mean(0).expand_as(formula_RV)
        what = "a gradient without the reference"
        checks.append(
            Check(f"A.3, {name}", "the gradient is a function of r", torch.stack(found), formula_RV, fixed_RV, what)
        )
    return checks


def equation_17() -> Check:
    """OPSD by the reverse KL is a policy gradient with the advantage log P_T - log P_S."""
    model = drawn()
    student_V, teacher_V = model.student[0][0, 0], model.teacher[0][0, 0, 0]
    delta_V = teacher_V.log_softmax(-1) - student_V.log_softmax(-1)
    return Check(
        "Eq. 17",
        "E_v[(log P_T - log P_S) grad log P_S] = -grad KL(S || T)",
        _pushed(student_V, delta_V),
        -_slope(student_V, lambda z_V: _kl(teacher_V, z_V, 1)),
        _pushed(student_V, -torch.ones_like(delta_V)),
        "log P_S alone differentiated (the released code's default): no gradient",
    )


def theorem_4() -> list[Check]:
    """RLSD's weight is the change of belief in the reference, for a teacher that is the student's posterior."""
    model, posterior = bayesian()
    replies_P = torch.arange(V**T)
    belief = [posterior[t][:, :, replies_P // V ** (T - t)].flatten() for t in range(T + 1)]
    ratio_BT = torch.stack([belief[t + 1] / belief[t] for t in range(T)], -1)
    student_BT, teacher_BT = told_words(model)
    _, other_BT = told_words(drawn(7))
    weights = {sign: _weights(student_BT, teacher_BT, sign) for sign in (1.0, -1.0)}
    wrong = _weights(student_BT, other_BT, 1.0)
    what = "a teacher that is not the student's posterior"
    return [
        Check("Theorem 4, A > 0", "w_t = P(r | x, y_<=t) / P(r | x, y_<t)", weights[1.0], ratio_BT, wrong, what),
        Check("Theorem 4, A < 0", "w_t is its inverse", weights[-1.0], 1 / ratio_BT, weights[1.0], "sign(A) left out"),
        Check(
            "Theorem 4, telescoping",
            "prod_t w_t = P(r | x, y) / P(r | x)",
            weights[1.0].prod(-1),
            belief[T] / belief[0],
            wrong.prod(-1),
            what,
        ),
    ]


def theorem_5() -> list[Check]:
    """The sign is the reward's, the size is bounded, and a token that is never sampled is never pushed."""
    student_BT, teacher_BT = told_words(drawn())
    advantage_B = torch.linspace(-2, 2, len(student_BT), dtype=torch.float64)
    method = RLSD()
    found_BT = _credit(method, student_BT, teacher_BT, advantage_B, 1)
    delta_BT = teacher_BT - student_BT
    bound_BT = (1 + method.clip) * advantage_B.abs()[:, None].expand_as(found_BT)
    unclipped_BT = advantage_B[:, None] * (advantage_B[:, None].sign() * delta_BT).exp()
    never_V = torch.tensor([1.0, 0.5, -80.0], dtype=torch.float64)  # the last one's chance is 1e-35
    teacher_V = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)
    said_V = teacher_V.log_softmax(-1)[:, None]
    credit_V = _credit(method, never_V.log_softmax(-1)[:, None], said_V, torch.tensor([1.0, -1.0, 1.0]).double(), 1)[
        :, 0
    ]
    pushed = _pushed(never_V, credit_V)[2:]
    sign_BT = advantage_B.sign()[:, None].expand_as(found_BT)
    return [
        Check(
            "Theorem 5, sign", "sign(A_t) = sign(A)", found_BT.sign(), sign_BT, delta_BT.sign(), "OPSD's log P_T / P_S"
        ),
        Check(
            "Theorem 5, bound",
            "|A_t| <= (1 + eps)|A|: the larger of both is the bound",
            torch.maximum(found_BT.abs(), bound_BT),
            bound_BT,
            torch.maximum(unclipped_BT.abs(), bound_BT),
            "Eq. 16 for A < 0: no upper bound",
        ),
        Check(
            "Theorem 5, support",
            "P_S(v) = 0: no push towards v",
            pushed,
            torch.zeros(1, dtype=torch.float64),
            -_gradient(never_V, teacher_V)[2:],
            "OPSD's gradient",
        ),
    ]


def no_reward() -> Check:
    """Not the paper's: that each token's sign is the reward's does not make the reward set the mean. Of a reply that is
    as often right as wrong, A exp(sign(A) D) is A cosh(D) + |A| sinh(D): GRPO's part vanishes, and what stays imitates
    the told teacher, by Eq. 17 as the reverse KL does where D is small. The clip bounds it, lambda scales it."""
    model = drawn()
    student_V1 = model.student[0][0, 0].log_softmax(-1)[:, None]
    teacher_V1 = model.teacher[0][0, 0, 0].log_softmax(-1)[:, None]
    weight = {sign: _weights(student_V1, teacher_V1, sign)[:, 0] for sign in (1.0, -1.0)}
    return Check(
        "Beside Theorem 5",
        "A a coin's: E[A_t s] = E[sinh(D) s], s = grad log P_S",
        _pushed(student_V1[:, 0], (weight[1.0] - weight[-1.0]) / 2),
        _pushed(student_V1[:, 0], (teacher_V1 - student_V1)[:, 0].sinh()),
        torch.zeros(V, dtype=torch.float64),
        "sign(A) left out: no gradient, as GRPO has none",
    )


def checks() -> list[Check]:
    return [theorem_1(), *proposition_1(), *bandwidth(), equation_17(), *theorem_4(), *theorem_5(), no_reward()]


# --- pieces ---------------------------------------------------------------------------------------------------


def _kl(teacher: Tensor, student: Tensor, beta: float) -> Tensor:
    """The shipped divergence of rows of logits: KL(T || S) for beta 0, KL(S || T) for 1."""
    shape = torch.broadcast_shapes(teacher.shape, student.shape)
    teacher, student = teacher.expand(shape), student.expand(shape)
    return divergence(student.reshape(-1, shape[-1]), teacher.reshape(-1, shape[-1]), beta).view(shape[:-1])


def _slope(logits_V: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    z_V = logits_V.clone().requires_grad_(True)
    (slope_V,) = torch.autograd.grad(loss(z_V), z_V)
    return slope_V


def _pushed(logits_V: Tensor, credit_V: Tensor) -> Tensor:
    """The mean of credit times grad log P_S, in the student's logits, over the tokens that it samples."""
    p_V = logits_V.softmax(-1)
    return ((p_V * credit_V)[:, None] * (torch.eye(len(p_V), dtype=torch.float64) - p_V)).sum(0)


def _gradient(student_V: Tensor, teacher_V: Tensor) -> Tensor:
    """Of KL(T || S) in the student's logits."""
    return _slope(student_V, lambda z_V: _kl(teacher_V, z_V, 0))


def _weights(student_BT: Tensor, teacher_BT: Tensor, sign: float) -> Tensor:
    """RLSD's, neither clipped nor mixed."""
    method = RLSD(mix=1.0, clip=1e9)
    advantage_B = torch.full((len(student_BT),), sign, dtype=torch.float64)
    return sign * _credit(method, student_BT, teacher_BT, advantage_B, 0)


def _credit(method: RLSD, student_BT: Tensor, teacher_BT: Tensor, advantage_B: Tensor, step: int) -> Tensor:
    teachers = dict.fromkeys(method.teachers, teacher_BT)
    mask_BT = torch.ones_like(student_BT)
    return method.credit(Rollouts(step, advantage_B, advantage_B, mask_BT, student_BT, teachers)).advantages
