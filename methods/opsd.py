"""OPSD (arXiv 2601.18734): imitate the same model after it has been told the reference. Rewards are not used.

L = mean_t D(P_T(. | x, r, y_<t), P_S(. | x, y_<t)),  y sampled from the student, no gradient through P_T

D is a divergence over the vocabulary. The sampled-token estimator that the released RLSD code defaults to, the mean of
log P_T - log P_S with the gradient through log P_S, has zero expected gradient and is not offered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from methods.base import Context, Count, Imitation, Positive, Share, Sibling, Task, Teacher, Tokens
from methods.functional import Support, divergence
from methods.words import context


@dataclass(frozen=True)
class OPSD(Imitation):
    name = "opsd"
    label = "OPSD"

    beta: Share = 0.5  # Jensen-Shannon, as in the first release and the reading of the RLSD paper; 0 is KL(T || S)
    clip: Positive | None = None  # of each vocabulary entry
    support: Support = "full"
    topk: Count = 100  # with support student or teacher
    tail: bool = True
    weights: Literal["initial", "live"] = "initial"
    told: Literal["solution", "own_words", "answer"] = "solution"  # the answer where the data has no worked solution

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"reference": Teacher(self.weights)}

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        if self.told != "answer" and task.solution:
            return {"reference": context(self.told, task.solution)}
        return {"reference": context("answer", task.answer)}

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        teacher_NV = teachers["reference"]
        return divergence(
            student_NV, teacher_NV, self.beta, clip=self.clip, support=self.support, k=self.topk, tail=self.tail
        )
