"""GRPO+OPSD: the two losses of one batch, interpolated: L = (1 - gamma) L_GRPO + gamma L_OPSD.

The RLSD paper names the interpolation and not its weight; gamma = 0.5 is ours.
"""

from dataclasses import dataclass

from torch import Tensor

from methods.base import Credit, Rollouts
from methods.opsd import OPSD


@dataclass(frozen=True)
class GRPOPlusOPSD(OPSD):
    name = "grpo_opsd"
    label = "GRPO+OPSD"
    policy_gradient = True

    gamma: float = 0.5

    def credit(self, rollouts: Rollouts) -> Credit:
        # The clipped surrogate is linear in the advantage, so scaling one scales the other.
        return Credit((1 - self.gamma) * rollouts.advantages_B)

    def distill(self, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
        return self.gamma * super().distill(student_NV, teacher_NV)
