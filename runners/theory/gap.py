"""Theorem 1 on a model's own rollouts: what imitation of a told teacher asks for, and what part of it can be had.

An item's references R are enumerated with their chances given the picture, so that the marginal teacher
P_T(v | x, y_<t) = sum_r P(r | x) P_T(v | x, r, y_<t) is an exact sum, and so are

    OPSD's loss         sum_r P(r | x) KL(P_T(. | r) || P_S)
    marginal objective  KL(marginal || P_S)
    information         I(Y_t; R | X, Y_<t) = H(marginal) - sum_r P(r | x) H(P_T(. | r))

of every token. Theorem 1 says that the first is the sum of the other two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from methods.functional import divergence


class Gap(NamedTuple):
    """Nats a token, (T,) each, of one reply."""

    opsd: Tensor
    marginal: Tensor
    information: Tensor


def gap(student_TV: Tensor, teachers_RTV: Tensor, chance_R: Sequence[float]) -> Gap:
    """From logits after one reply's prefixes, the teachers' one for each reference. In double precision inside."""
    student_TV, teacher_RTV = student_TV.double(), teachers_RTV.double().log_softmax(-1)
    chance_R11 = torch.tensor(chance_R, dtype=torch.float64, device=student_TV.device)[:, None, None]
    marginal_TV = (chance_R11.log() + teacher_RTV).logsumexp(0)
    told_RT = torch.stack([divergence(student_TV, one_TV, 0) for one_TV in teacher_RTV])
    entropy_RT = -(teacher_RTV.exp() * teacher_RTV).sum(-1)
    return Gap(
        (chance_R11[..., 0] * told_RT).sum(0),
        divergence(student_TV, marginal_TV, 0),
        -(marginal_TV.exp() * marginal_TV).sum(-1) - (chance_R11[..., 0] * entropy_RT).sum(0),
    )
