"""SDPO (arXiv 2601.20802): imitate the same model after it has read a successful rollout of its own group.

Rewards act only through the choice of that rollout: the first successful sibling, never the rollout itself.
Rollouts without one contribute zero and stay in the denominator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from methods.base import Method, Privilege, Sibling, Task, Teacher
from methods.functional import topk_jsd


@dataclass(frozen=True)
class SDPO(Method):
    name = "sdpo"
    label = "SDPO"
    policy_gradient = False
    distils = True

    alpha: float = 0.5
    topk: int = 100  # of the student's distribution; the rest is one tail bucket
    rate: float = 0.05  # EMA of the teacher, per optimizer step
    success: float = 1.0  # accuracy from which a rollout is a demonstration

    @property
    def teacher(self) -> Teacher:
        return Teacher("ema", rate=self.rate)

    def privilege(self, task: Task, group: Sequence[Sibling], own: int) -> Privilege | None:
        for i, sibling in enumerate(group):
            if i != own and sibling.reward >= self.success:
                return Privilege("solution", sibling.text)
        return None

    def distill(self, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
        return topk_jsd(student_NV, teacher_NV, self.alpha, self.topk)
