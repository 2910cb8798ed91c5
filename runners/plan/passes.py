"""What the model is shown in the passes of one step: which rollouts of a pass share their prompt and pictures.

Every rollout is counted. Those without an advantage, and a teacher that nothing is asked of, are skipped in a run.
"""

from typing import NamedTuple

from methods import Method, Sibling, Task
from runners.forward.split_group import parts_of_group
from runners.run.config import Settings


class Forwarded(NamedTuple):
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

    def times(self, n: int) -> "Forwarded":
        return self._replace(prompts=n * self.prompts, pictures=n * self.pictures, rollouts=n * self.rollouts)


def rollouts_per_gpu(settings: Settings) -> int:
    return settings.train.prompts * settings.train.generations // settings.train.processes


def parts(settings: Settings) -> int:
    """In how many micro-batches each group comes: see forward/split_group. 1 where prompts are not shared."""
    t = settings.train
    accumulation = rollouts_per_gpu(settings) // (t.updates * t.device_batch)
    return parts_of_group(t.device_batch, t.generations, accumulation) if t.shared_prefix else 1


def micro_batch(settings: Settings) -> Forwarded:
    """One of an update; of a group in parts the first, which forwards the prompt."""
    return _pass(settings, settings.train.device_batch)


def scored_at_once(settings: Settings, told: int = 1, longer: int = 0) -> Forwarded:
    """A slice, of a group at least, in which log-probabilities are computed before an update. `told`: how many prompts
    of `longer` more tokens a group has, where what its rollouts are told differs."""
    t = settings.train
    size = max(t.device_batch, t.generations) if t.shared_prefix else t.device_batch
    return _pass(settings, min(size, rollouts_per_gpu(settings)), told, longer)


def whole_step(settings: Settings, one: Forwarded) -> Forwarded:
    """All passes like this one, over all processes."""
    return one.times(-(-rollouts_per_gpu(settings) // one.rollouts) * settings.train.processes)


def whole_update(settings: Settings) -> Forwarded:
    """The micro-batches of a step, over all processes: each group's prompt once though the group comes in parts."""
    return whole_step(settings, _pass(settings, settings.train.device_batch * parts(settings)))


def whole_teacher(settings: Settings, method: Method, longer: int) -> Forwarded:
    """What a step's teacher is shown: prompts of at most `longer` more tokens than the student's."""
    return whole_step(settings, scored_at_once(settings, told_in_group(settings, method), longer))


def reading(settings: Settings) -> Forwarded:
    """The prompts of one process before tokens are sampled, but for the last token of each, with which that starts.

    vLLM caches prefixes; with transformers runners/rollout/sampler.py shares them.
    """
    t, rollouts = settings.train, rollouts_per_gpu(settings)
    # A group that straddles two processes is read by both.
    prompts = -(-rollouts // t.generations) if t.vllm or t.shared_prefix else rollouts
    return Forwarded(prompts, prompts, 0, t.max_prompt_tokens - 1, 0)


def scores_student(settings: Settings, method: Method) -> bool:
    """Whether log-probabilities are computed before the update: by TRL with several updates, else where credit needs
    those of the whole batch."""
    return settings.train.updates > 1 or (method.credit_uses_teacher and not method.credit_by_row)


def told_in_group(settings: Settings, method: Method) -> int:
    """How many different things the rollouts of a group are told at most, with none to all of them successful."""
    size, task = settings.train.generations, Task("1", "a solution")
    groups = [[Sibling(str(i), float(i < right)) for i in range(size)] for right in range(size + 1)]
    told = [[tuple(method.contexts(task, group, own).items()) for own in range(size)] for group in groups]
    return max(len(set(of_group)) for of_group in told)


def _pass(settings: Settings, size: int, told: int = 1, longer: int = 0) -> Forwarded:
    """Of `size` rollouts, which share what they can."""
    t = settings.train
    groups = -(-size // t.generations) if t.shared_prefix else size
    return Forwarded(min(size, groups * told), groups, size, t.max_prompt_tokens + longer, t.max_completion_tokens)
