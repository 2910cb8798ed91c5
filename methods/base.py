"""What a method is: who the teacher is, what it is told, and how a rollout turns into a loss.

Shapes are named by suffix: B rollouts, T completion tokens, V vocabulary, N = any number of tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import ConfigDict
from torch import Tensor


@dataclass(frozen=True)
class Teacher:
    """Whose weights score the told prompt.

    none: nobody. initial: the model before training. live: the policy itself. snapshot: a hard copy of the policy,
    renewed at the end of every `every`-th step. ema: theta_T <- (1 - rate) theta_T + rate theta after every step.
    """

    kind: Literal["none", "initial", "live", "snapshot", "ema"]
    every: int = 0
    rate: float = 0.0


PrivilegeKind = Literal["answer", "solution", "own_words", "sibling", "sibling_and_failure"]


class Privilege(NamedTuple):
    """What the teacher is told beyond the question, and which template words it.

    answer, solution, own_words (a solution that must not be repeated), sibling (a successful rollout of the group),
    sibling_and_failure (that, possibly empty, and a failed one in `failure`).
    """

    kind: PrivilegeKind
    text: str
    failure: str = ""


class Sibling(NamedTuple):
    """One rollout of the group, as `privilege` sees it. `reward` is the accuracy, 0 or 1."""

    text: str
    reward: float


class Task(NamedTuple):
    """What is known about a prompt: the verifiable answer and, where the data set has one, a worked solution."""

    answer: str
    solution: str | None = None


@dataclass(frozen=True)
class Rollouts:
    """One scored generation batch of B rollouts. Nothing here carries a gradient."""

    step: int  # 1 for the first optimizer step
    rewards_B: Tensor
    advantages_B: Tensor  # GRPO: (R - mean) / (std + eps) within the group
    mask_BT: Tensor  # 1 on completion tokens
    student_BT: Tensor | None  # log-probabilities of the sampled tokens; None where no teacher is asked for credit
    teacher_BT: Tensor | None  # the same tokens after the told prompt; where nothing is told, after the own prompt


class Credit(NamedTuple):
    """Advantages of the policy gradient, one per rollout (B,) or per token (B, T), and scalars to log."""

    advantages: Tensor
    metrics: Mapping[str, float] = MappingProxyType({})
    weights_BT: Tensor | None = None  # what multiplied the advantage, for the token tables


@dataclass(frozen=True)
class Method:
    """The contract with the harness. As it stands it is GRPO: a policy gradient and no teacher.

    Fields of a subclass are its parameters; unknown ones are refused.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: ClassVar[str]
    label: ClassVar[str]

    @property
    def teacher(self) -> Teacher:
        return Teacher("none")

    @property
    def policy_gradient(self) -> bool:
        """Whether `credit` feeds the clipped surrogate."""
        return True

    @property
    def credit_uses_teacher(self) -> bool:
        """Whether `credit` needs the teacher's log-probabilities of the sampled tokens."""
        return False

    @property
    def credit_by_row(self) -> bool:
        """Whether `credit` treats every rollout by itself, so that it may be called on any part of a batch: the
        student's log-probabilities then come from the update's own forward pass, and no pass is made for them."""
        return False

    def asks_teacher(self, step: int, advantages_B: Tensor) -> Tensor:
        """Which rollouts' credit the teacher can change (B,), bool. The others are not scored by it, and `credit` sees
        equal log-probabilities; where none is left it sees None."""
        return torch.ones_like(advantages_B, dtype=torch.bool)

    @property
    def distils(self) -> bool:
        """Whether `distill` adds to the loss."""
        return False

    @property
    def importance_clip(self) -> float | None:
        """Upper clip of pi / pi_old, by which the divergence of each token is multiplied; None multiplies by nothing.

        The ratio is 1 as long as there is one update per rollout.
        """
        return None

    def privilege(self, task: Task, group: Sequence[Sibling], own: int) -> Privilege | None:
        """What the teacher is told about rollout `own` of this group; None leaves the rollout without a teacher."""
        return None

    def credit(self, rollouts: Rollouts) -> Credit:
        """Advantages from rewards and, if `credit_uses_teacher`, both log-probabilities of the sampled tokens."""
        return Credit(rollouts.advantages_B)

    def distill(self, student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
        """Per-token divergence (N,) of two rows of logits; gradient through the student's alone."""
        raise NotImplementedError(f"{self.name} does not distil")
