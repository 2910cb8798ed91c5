"""What a method is: who the teachers are, what each is told, and how a rollout turns into a loss.

Shapes are named by suffix: B rollouts, T completion tokens, V vocabulary, N = any number of tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

Kind = Literal["initial", "live", "snapshot", "ema", "external"]
NOTHING: Mapping[str, Any] = MappingProxyType({})

# Of parameters.
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Teacher:
    """Whose weights score what a teacher is told.

    initial: the model before training. live: the policy itself. snapshot: a hard copy of the policy, renewed at the end
    of every `every`-th step. ema: theta_T <- (1 - rate) theta_T + rate theta after every optimizer update. external:
    another model with the same tokens, the setting `model.teacher`.
    """

    kind: Kind
    every: int = 0
    rate: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no teacher is {self.kind!r}: choose one of {', '.join(get_args(Kind))}")
        if self.kind == "snapshot" and self.every < 1:
            raise ValueError(f"a snapshot is renewed every {self.every} steps: 1 or more")
        if self.kind == "ema" and not 0 <= self.rate <= 1:
            raise ValueError(f"an average moves by {self.rate} of the policy: 0 to 1")


class Context(NamedTuple):
    """What one teacher reads of a rollout's prompt beyond what the student reads.

    words: follow the student's question in the same turn; "" leaves the prompt as it is. text: the privileged part of
    them, as tables and detectors know it. pictures: shown in place of the student's (PIL, any number); None shows the
    student's own.
    """

    words: str
    text: str = ""
    pictures: Sequence[Any] | None = None


class Sibling(NamedTuple):
    """One rollout of the group, as `contexts` sees it. `reward` is the accuracy, 0 or 1."""

    text: str
    reward: float


class Task(NamedTuple):
    """What is known about a prompt: the verifiable answer, a worked solution where the data has one, its pictures."""

    answer: str
    solution: str | None = None
    pictures: Sequence[Any] = ()


@dataclass(frozen=True)
class Rollouts:
    """One scored generation batch of B rollouts. Nothing here carries a gradient.

    `student_BT` and `teacher` are log-probabilities of the sampled tokens, where credit asks for them: under the
    student, and by the name of each context after its prompt. A rollout that a context tells nothing has there those
    after its own prompt, and one that is not asked about the student's.
    """

    step: int  # 1 for the first optimizer step
    rewards_B: Tensor
    advantages_B: Tensor  # GRPO: (R - mean) / (std + eps) within the group
    mask_BT: Tensor  # 1 on completion tokens
    student_BT: Tensor | None = None
    teacher: Mapping[str, Tensor] = field(default_factory=dict)
    accuracy_B: Tensor | None = None  # 0 or 1, whatever else the reward weighs
    entropy: Mapping[str, Tensor] = field(default_factory=dict)  # of each teacher (B, T), where `credit_uses_entropy`
    told: Mapping[str, Tensor] = field(default_factory=dict)  # by context (B,), bool: whether it tells anything
    state: Mapping[str, Tensor] = field(default_factory=dict)  # what the last `credit` left


@dataclass(frozen=True)
class Tokens:
    """N completion tokens, as `distill` sees them beside their logits."""

    step: int
    reward_N: Tensor
    accuracy_N: Tensor
    advantage_N: Tensor
    solved_N: Tensor  # share of right rollouts in the group
    position_N: Tensor  # 0 for the first token of a completion
    length_N: Tensor  # tokens of the completion
    told: Mapping[str, Tensor]  # by context (N,), bool: whether it tells this rollout anything

    def __getitem__(self, where: slice) -> "Tokens":
        named = {name: told_N[where] for name, told_N in self.told.items()}
        rest = {name: value[where] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Tokens(self.step, **rest, told=named)


class Credit(NamedTuple):
    """Advantages of the policy gradient, one per rollout (B,) or per token (B, T), and scalars to log."""

    advantages: Tensor
    metrics: Mapping[str, float] = NOTHING
    weights_BT: Tensor | None = None  # what multiplied the advantage, for the token tables
    state: Mapping[str, Tensor] | None = None  # for the next step, kept in checkpoints; None leaves it as it is


class Route(NamedTuple):
    """Which rollouts (B,), bool, feed the policy gradient and which the divergence; None: all. The others stay in the
    denominators."""

    policy_B: Tensor | None = None
    distil_B: Tensor | None = None


class Metric(NamedTuple):
    """How a logged scalar is shown. A unit that begins with `share` is drawn in percent."""

    title: str
    unit: str = ""
    help: str = ""
    smooth: bool = True  # whether a mean over some steps is drawn
    from_zero: bool = True  # whether the axis begins at 0


@dataclass(frozen=True)
class Method:
    """The contract with the harness. As it stands it is GRPO: a policy gradient and no teacher.

    Fields of a subclass are its parameters; unknown ones are refused.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    label: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]] = NOTHING  # of what `credit` logs: the report draws what is declared

    # Of these a property is made where they hang on a parameter.
    policy_gradient: ClassVar[bool] = True  # whether `credit` feeds the clipped surrogate
    credit_uses_teacher: ClassVar[bool] = False  # whether it needs the teachers' log-probabilities of sampled tokens
    credit_uses_entropy: ClassVar[bool] = False  # and their entropies besides
    distils: ClassVar[bool] = False  # whether `distill` adds to the loss
    divergence_weight: ClassVar[float] = 1.0  # multiplies the divergence in the loss; its metric shows it before
    # Upper clip of pi / pi_old, by which the divergence of each token is multiplied; None multiplies by nothing. The
    # ratio is 1 as long as there is one update per rollout.
    importance_clip: ClassVar[float | None] = None

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        """Whose weights read each context, by the context's name. None where the method has no teacher."""
        return NOTHING

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        """What each teacher is told about rollout `own` of this group, by the names of `teachers`. A name that is left
        out tells this rollout nothing, and one without any context is not distilled."""
        return NOTHING

    def route(self, rollouts: Rollouts) -> Route:
        """Which rollouts go where, from rewards, accuracy and advantages; no log-probabilities are there yet."""
        return Route()

    def credit(self, rollouts: Rollouts) -> Credit:
        """Advantages from rewards and, if `credit_uses_teacher`, the log-probabilities of the sampled tokens."""
        return Credit(rollouts.advantages_B)

    def distill(self, student_NV: Tensor, teachers: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        """Per-token divergence (N,) of the student's logits from each context's (N, V); gradient through the student's
        alone."""
        raise NotImplementedError(f"{self.name} does not distil")

    # What follows serves speed alone: a method that leaves it as it is trains to the same numbers.

    # Whether `credit` treats every rollout by itself and keeps no state, so that it may be called on any part of a
    # batch: the student's log-probabilities then come from the update's own forward pass.
    credit_by_row: ClassVar[bool] = False

    def asks_teacher(self, step: int, advantages_B: Tensor) -> Tensor:
        """Which rollouts' credit the teachers can change (B,), bool. The others are not scored by them, and `credit`
        sees equal log-probabilities; where none is left it sees None."""
        return torch.ones_like(advantages_B, dtype=torch.bool)


class Imitation(Method):
    """A method that learns from its teachers' distributions alone: no policy gradient."""

    policy_gradient = False
    distils = True
