"""RLSD (arXiv 2604.03128): the reward sets the sign of every token's update, the told teacher only its size.

    Delta_t = log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t)
    A_t     = A [(1 - lambda) + lambda clip(exp(sign(A) Delta_t), 1 - eps, 1 + eps)]          (Eq. 13-15)

A_t takes the place of A in the clipped surrogate; Eq. 16, which has no policy ratio, is in no released code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Context, Count, Credit, Method, Metric, Positive, Rollouts, Share, Sibling, Task, Teacher
from methods.functional import linear_decay, masked_mean, masked_quantiles
from methods.words import context


@dataclass(frozen=True)
class RLSD(Method):
    name = "rlsd"
    label = "RLSD"
    credit_uses_teacher = True
    credit_by_row = True
    metrics = {
        "lambda": Metric(
            "RLSD's mixing weight λ",
            "λ",
            "How much of RLSD's credit is shaped token by token, on a fixed schedule. At λ = 0 RLSD is GRPO.",
            smooth=False,
        ),
        "clip_rate": Metric(
            "Evidence clip rate",
            "share of tokens",
            "Share of tokens at which RLSD's weight was cut at its bounds, in the replies that have an advantage. Were "
            "most tokens cut, the weights would carry little beyond their sign.",
        ),
    }

    mix: Share = 0.5  # lambda before the first step
    decay: Count = 50  # lambda is 0 from this step on
    clip: Positive = 0.2  # epsilon_w
    sync: Count = 10  # steps between copies of the policy into the teacher

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"answer": Teacher("snapshot", every=self.sync)}

    def asks_teacher(self, step: int, advantages_B: Tensor) -> Tensor:
        return advantages_B.ne(0) & (linear_decay(self.mix, self.decay, step) > 0)

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"answer": context("answer", task.answer)}

    def credit(self, rollouts: Rollouts) -> Credit:
        mix = linear_decay(self.mix, self.decay, rollouts.step)
        if rollouts.student_BT is None:
            return Credit(rollouts.advantages_B, {"lambda": mix})
        advantage_B1 = rollouts.advantages_B[:, None]
        delta_BT = rollouts.teacher["answer"] - rollouts.student_BT
        weight_BT = torch.exp(advantage_B1.sign() * delta_BT)
        clipped_BT = weight_BT.clamp(1 - self.clip, 1 + self.clip)
        mixed_BT = (1 - mix) + mix * clipped_BT
        shaped_BT, cut_BT = rollouts.mask_BT * advantage_B1.ne(0), (weight_BT != clipped_BT).float()
        names, shares = ("weight_p10", "weight_p50", "weight_p90"), (0.1, 0.5, 0.9)
        metrics = {
            "lambda": mix,
            "clip_rate": masked_mean(cut_BT, shaped_BT),
            "clip_rate_of_all": masked_mean(cut_BT, rollouts.mask_BT),  # as the official code counts
            "weight_mean": masked_mean(weight_BT, shaped_BT),
            **dict(zip(names, masked_quantiles(weight_BT, shaped_BT, shares), strict=False)),
        }
        return Credit(advantage_B1 * mixed_BT * rollouts.mask_BT, metrics, mixed_BT)
