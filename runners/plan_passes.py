"""What the model is shown in the passes of one step: which rows of a micro-batch share their prompt and pictures.

Every rollout is counted. Those without an advantage, and a teacher that nothing is asked of, are skipped in a run.
"""

from collections.abc import Hashable, Sequence
from functools import cache
from typing import NamedTuple

from methods import Method, Sibling, Task
from runners.config import Settings


class Pass(NamedTuple):
    """Prompts, pictures and rollouts as the model forwards them, and the tokens of each prompt and each completion."""

    prompts: int
    pictures: int
    rollouts: int
    prompt: int
    completion: int

    @property
    def tokens(self) -> int:
        return self.prompts * self.prompt + self.scored

    @property
    def scored(self) -> int:
        """Tokens whose logits are asked for."""
        return self.rollouts * self.completion


def student_passes(settings: Settings) -> list[Pass]:
    """The micro-batches of a step, over all processes."""
    return _passes(settings, [None] * settings.train.generations, settings.train.max_prompt_tokens)


def teacher_passes(settings: Settings, method: Method, told: int) -> list[Pass]:
    """The same after the told prompts, which have at most `told` tokens more."""
    return _passes(settings, told_of_group(settings, method), settings.train.max_prompt_tokens + told)


def reading(settings: Settings) -> Pass:
    """The prompts of one process before tokens are sampled, but for the last token of each, with which that starts.

    vLLM caches prefixes; with transformers runners/rollout.py shares them.
    """
    t = settings.train
    rollouts = t.prompts * t.generations // t.processes
    # A group that straddles two processes is read by both.
    prompts = -(-rollouts // t.generations) if t.vllm or t.shared_prefix else rollouts
    return Pass(prompts, prompts, 0, t.max_prompt_tokens - 1, 0)


def told_of_group(settings: Settings, method: Method) -> Sequence[Hashable]:
    """What each rollout of a group is told where that differs most, tried with none to all of them successful."""
    size, task = settings.train.generations, Task("1", "a solution")
    groups = [[Sibling(str(i), float(i < right)) for i in range(size)] for right in range(size + 1)]
    tried = [[method.privilege(task, group, own) for own in range(size)] for group in groups]
    return max(tried, key=lambda told: len(set(told)))


def _passes(settings: Settings, told: Sequence[Hashable], prompt: int) -> list[Pass]:
    """`told`: what the rollouts of a group are told, in their order."""
    t = settings.train
    rollouts, size = t.prompts * t.generations, t.device_batch
    alone = [(size, size)] * (rollouts // size)
    shared = _distinct(rollouts, size, tuple(told)) if t.shared_prefix else alone
    return [Pass(prompts, pictures, size, prompt, t.max_completion_tokens) for prompts, pictures in shared]


@cache
def _distinct(rollouts: int, size: int, told: tuple[Hashable, ...]) -> list[tuple[int, int]]:
    """Prompts and pictures of each micro-batch of `size` rows: rollouts of a group that are told the same share their
    prompt, and all of a group their pictures."""
    batches = [range(first, first + size) for first in range(0, rollouts, size)]
    group = len(told)
    return [(len({(i // group, told[i % group]) for i in rows}), len({i // group for i in rows})) for rows in batches]
