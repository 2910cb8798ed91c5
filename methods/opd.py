"""OPD, on-policy distillation from another, better trained model, which reads the student's own prompt and no more.

L = mean_t KL(P_S(. | x, y_<t) || P_E(. | x, y_<t)),  y sampled from the student, no gradient through the expert P_E

The row "OPD" of the RLSD paper's Table 1, and what its Figure 3c sets against OPSD: where the teacher knows nothing
that the student cannot see, the divergence can fall to zero and there is nothing to leak. Rewards are not used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from methods.base import Context, Imitation, Sibling, Task, Teacher, Tokens
from methods.functional import divergence


@dataclass(frozen=True)
class OPD(Imitation):
    name = "opd"
    label = "OPD"

    beta: float = 1.0  # KL(S || T), the reverse KL of on-policy distillation; 0.5 is OPSD's Jensen-Shannon

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"expert": Teacher("external")}

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"expert": Context("")}

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        return divergence(student_NV, teachers["expert"], self.beta)
