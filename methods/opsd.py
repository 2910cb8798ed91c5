"""OPSD (arXiv 2601.18734): imitate the same model after it has been told the reference. Rewards are not used.

L = mean_t D(P_T(. | x, r, y_<t), P_S(. | x, y_<t)),  y sampled from the student, no gradient through P_T
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from methods.base import Method, Privilege, Sibling, Task, Teacher
from methods.functional import generalized_jsd


@dataclass(frozen=True)
class OPSD(Method):
    name = "opsd"
    label = "OPSD"
    policy_gradient = False
    distils = True

    beta: float = 0.5  # Jensen-Shannon, as in the first release and the reading of the RLSD paper
    weights: Literal["initial", "live"] = "initial"
    told: Literal["solution", "answer"] = "solution"  # the worked solution where the data has one

    @property
    def teacher(self) -> Teacher:
        return Teacher(self.weights)

    def privilege(self, task: Task, group: Sequence[Sibling], own: int) -> Privilege | None:
        if self.told == "solution" and task.solution:
            return Privilege("solution", task.solution)
        return Privilege("answer", task.answer)

    def distill(self, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
        return generalized_jsd(student_NV, teacher_NV, self.beta)
