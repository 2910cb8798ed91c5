"""SDPO (arXiv 2601.20802): imitate the same model after it has read a successful rollout of its own group.

Rewards act only through the choice of that rollout. Rollouts without one contribute zero and stay in the denominator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from methods.base import Context, Count, Imitation, Positive, Share, Sibling, Task, Teacher, Tokens
from methods.functional import divergence
from methods.words import context


@dataclass(frozen=True)
class SDPO(Imitation):
    name = "sdpo"
    label = "SDPO"

    alpha: Share = 0.5
    topk: Count = 100  # of the student's distribution; the rest is one tail bucket
    rate: Share | None = 0.05  # EMA of the teacher, per optimizer step; None: the teacher is the policy itself
    importance: Positive | None = 2.0  # clip of pi / pi_old
    success: float = 1.0  # accuracy from which a rollout is a demonstration
    # first: the first successful sibling, never the rollout itself (official). shortest: the group's shortest
    # successful and shortest failed rollout, the former possibly missing (the RLSD authors' code).
    demonstration: Literal["first", "shortest"] = "first"

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"sibling": Teacher("live") if self.rate is None else Teacher("ema", rate=self.rate)}

    @property
    def importance_clip(self) -> float | None:  # type: ignore[override]
        return self.importance

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        first = self.demonstration == "first"
        right = [s.text for i, s in enumerate(group) if s.reward >= self.success and not (first and i == own)]
        if first:
            return {"sibling": context("sibling", right[0])} if right else {}
        wrong = [s.text for s in group if s.reward < self.success]
        shown, failed = (min(texts, key=len, default="") for texts in (right, wrong))
        return {"sibling": context("sibling_and_failure", shown, failed)}

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        return divergence(student_NV, teachers["sibling"], self.alpha, support="student", k=self.topk)
