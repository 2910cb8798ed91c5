"""GRPO+OPSD, in the two forms that the RLSD paper's words allow; it publishes neither a formula nor a weight.

loss:      L = (1 - gamma) L_GRPO + gamma L_OPSD, the interpolation that it names
advantage: A_t = sg[log P_T - log P_S] + alpha A, the MOPD of MiMo-V2-Flash (arXiv 2601.02780, Eq. 9) that it cites;
           on the sampled tokens this follows the gradient of KL(S || T) and of GRPO at once
"""

from dataclasses import dataclass
from typing import Literal

from methods.base import Credit, Metric, Rollouts, Share
from methods.functional import masked_mean
from methods.opsd import OPSD


@dataclass(frozen=True)
class GRPOPlusOPSD(OPSD):
    name = "grpo_opsd"
    label = "GRPO+OPSD"
    policy_gradient = True
    credit_by_row = True
    metrics = {
        "distil_share": Metric("Distillation in the advantage", "nats per token", "Mean size of log P_T - log P_S.")
    }

    form: Literal["loss", "advantage"] = "loss"
    gamma: Share = 0.5  # of the loss form
    alpha: float = 1.0  # of the advantage form

    @property
    def credit_uses_teacher(self) -> bool:  # type: ignore[override]
        return self.form == "advantage"

    @property
    def distils(self) -> bool:  # type: ignore[override]
        return self.form == "loss"

    @property
    def divergence_weight(self) -> float:  # type: ignore[override]
        return self.gamma

    def credit(self, rollouts: Rollouts) -> Credit:
        if self.form == "loss":
            # The clipped surrogate is linear in the advantage, so scaling one scales the other.
            return Credit((1 - self.gamma) * rollouts.advantages_B)
        assert rollouts.student_BT is not None
        delta_BT = (rollouts.teacher["reference"] - rollouts.student_BT) * rollouts.mask_BT
        mixed_BT = (delta_BT + self.alpha * rollouts.advantages_B[:, None]) * rollouts.mask_BT
        return Credit(mixed_BT, {"distil_share": masked_mean(delta_BT.abs(), rollouts.mask_BT)})
