"""What the model is shown in the passes of one step: which rows of a micro-batch share their prompt and pictures.

Every rollout is counted. Those without an advantage, and a teacher that nothing is asked of, are skipped in a run.
"""

from collections.abc import Hashable, Sequence
from functools import cache
from typing import NamedTuple

from methods import Method, Sibling, Task
from runners.run.config import Settings


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


def parts_of_group(micro_batch: int, group: int, accumulation: int) -> int:
    """In how many micro-batches each group comes: 1 where they do not divide it evenly, or where the rows that one
    process takes to an update, `accumulation` micro-batches, are not whole groups."""
    whole = group % micro_batch == 0 and micro_batch * accumulation % group == 0
    return group // micro_batch if whole and micro_batch < group else 1


def parts(settings: Settings) -> int:
    """The same of a run, where it shares prompts."""
    t = settings.train
    accumulation = _local(settings) // (t.updates * t.device_batch)
    return parts_of_group(t.device_batch, t.generations, accumulation) if t.shared_prefix else 1


def two_phase(settings: Settings) -> bool:
    """Whether an update goes through each prompt once though its group comes in parts: see forward/split_group."""
    return parts(settings) > 1


def student_passes(settings: Settings) -> list[Pass]:
    """The micro-batches of an update, over all processes. Of a group in parts the first one forwards the prompt."""
    found = _passes(settings, _alike(settings), settings.train.device_batch, settings.train.max_prompt_tokens)
    return [one if i % parts(settings) == 0 else one._replace(prompts=0, pictures=0) for i, one in enumerate(found)]


def scoring_passes(settings: Settings) -> list[Pass]:
    """The slices, of a group at least, in which log-probabilities are computed before an update."""
    return _passes(settings, _alike(settings), _scored_at_once(settings), settings.train.max_prompt_tokens)


def teacher_passes(settings: Settings, method: Method, told: int) -> list[Pass]:
    """The same after the told prompts, which have at most `told` tokens more. A method that distils asks for them
    group by group, or in micro-batches that are no even part of one."""
    t = settings.train
    size = _scored_at_once(settings)
    if method.distils and parts(settings) == 1:
        size = t.device_batch
    return _passes(settings, told_of_group(settings, method), size, t.max_prompt_tokens + told)


def scores_student(settings: Settings, method: Method) -> bool:
    """Whether log-probabilities are computed before the update: by TRL with several updates, else where credit needs
    those of the whole batch."""
    return settings.train.updates > 1 or (method.credit_uses_teacher and not method.credit_by_row)


def without_gradient(settings: Settings, method: Method, told: int) -> list[Pass]:
    """All that is forwarded without gradient; where that is nothing, a micro-batch, by which layouts are checked."""
    found = scoring_passes(settings) if scores_student(settings, method) else []
    if method.credit_uses_teacher or method.distils:
        found = found + teacher_passes(settings, method, told)
    return found or student_passes(settings)[:1]


def reading(settings: Settings) -> Pass:
    """The prompts of one process before tokens are sampled, but for the last token of each, with which that starts.

    vLLM caches prefixes; with transformers runners/rollout/sampler.py shares them.
    """
    t, rollouts = settings.train, _local(settings)
    # A group that straddles two processes is read by both.
    prompts = -(-rollouts // t.generations) if t.vllm or t.shared_prefix else rollouts
    return Pass(prompts, prompts, 0, t.max_prompt_tokens - 1, 0)


def told_of_group(settings: Settings, method: Method) -> Sequence[Hashable]:
    """What each rollout of a group is told where that differs most, tried with none to all of them successful."""
    size, task = settings.train.generations, Task("1", "a solution")
    groups = [[Sibling(str(i), float(i < right)) for i in range(size)] for right in range(size + 1)]
    tried = [[tuple(method.contexts(task, group, own).items()) for own in range(size)] for group in groups]
    return max(tried, key=lambda told: len(set(told)))


def _local(settings: Settings) -> int:
    return settings.train.prompts * settings.train.generations // settings.train.processes


def _scored_at_once(settings: Settings) -> int:
    t = settings.train
    return max(t.device_batch, t.generations) if t.shared_prefix else t.device_batch


def _alike(settings: Settings) -> Sequence[Hashable]:
    return [None] * settings.train.generations


def _passes(settings: Settings, told: Sequence[Hashable], size: int, prompt: int) -> list[Pass]:
    """`told`: what the rollouts of a group are told, in their order. size: rollouts of a pass, at most."""
    t, local = settings.train, _local(settings)
    slices = [
        range(first, min(first + size, start + local))
        for start in range(0, local * t.processes, local)
        for first in range(start, start + local, size)
    ]
    return [
        Pass(*_distinct(rows, tuple(told), t.shared_prefix), len(rows), prompt, t.max_completion_tokens)
        for rows in slices
    ]


@cache
def _distinct(rows: range, told: tuple[Hashable, ...], shared: bool) -> tuple[int, int]:
    """Prompts and pictures of these rollouts: those of a group that are told the same share their prompt, and all of a
    group their pictures."""
    if not shared:
        return len(rows), len(rows)
    group = len(told)
    return len({(i // group, told[i % group]) for i in rows}), len({i // group for i in rows})
