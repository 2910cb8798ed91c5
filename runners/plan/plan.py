"""What a run would do, before anybody rents a GPU for it: batches, memory, work, the teacher, the command."""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from eval.core.errors import UserError
from methods import Context, Method, Sibling, Task, Teacher
from runners.launch.distributed import ROOT, launch_file
from runners.plan.memory import GIB, Memory, memory, rollouts_per_gpu, shards, teacher_copy, trained_bytes
from runners.plan.model_shape import ModelShape, model_shape
from runners.plan.work import Work, work
from runners.run.config import Settings, override

DATA_ROWS = {"iieycx/rlsd-train-MMFineReason-123K": 123_000}  # by its name: a plan asks no hub

TINY = 100_000_000  # parameters below which a GPU's peak says nothing


class Batch(NamedTuple):
    """One step: a batch of rollouts and its `updates` optimizer steps."""

    prompts: int
    rollouts: int
    rollouts_per_gpu: int
    accumulation: int  # micro-batches that a GPU runs per optimizer step
    updates: int  # optimizer steps per step, that is per batch of rollouts
    tokens: int  # at most, prompts and completions
    epochs: float | None  # over the data; None where its size is not known


class Plan(NamedTuple):
    """Everything that is told about a run."""

    shape: ModelShape
    batch: Batch
    memory: Memory
    work: list[Work]
    teacher: str
    notes: list[str]
    mend: str | None  # what to change where the memory does not do; None where it does
    train: list[str]  # the command that trains it, word by word, after the interpreter
    launch: list[str]  # what that starts on several GPUs; empty for one process


def make_plan(
    settings: Settings, method: Method, preset: str, overrides: list[str], gpu_memory: float, mfu: float
) -> Plan:
    """The plan of complete settings. `gpu_memory` in GiB, `mfu` the assumed share of the peak that is reached.

    Raises UserError where the model's configuration is not at hand.
    """
    shape, told = model_shape(settings.model), told_tokens(settings, method)
    held = memory(settings, method, shape, gpu_memory * GIB, told)
    return Plan(
        shape,
        batch_of(settings),
        held,
        work(settings, method, shape, gpu_memory * GIB, mfu, told),
        teacher_words(settings, method, shape, held),
        notes(settings, shape),
        None if held.fits else mend(settings, method, gpu_memory),
        train_words(settings, preset, overrides),
        launch_words(settings, train_words(settings, preset, overrides)),
    )


def batch_of(settings: Settings) -> Batch:
    t = settings.train
    rollouts, rows = t.prompts * t.generations, data_rows(settings)
    return Batch(
        prompts=t.prompts,
        rollouts=rollouts,
        rollouts_per_gpu=rollouts_per_gpu(settings),
        accumulation=rollouts // (t.processes * t.device_batch * t.updates),
        updates=t.updates,
        tokens=rollouts * (t.max_prompt_tokens + t.max_completion_tokens),
        epochs=t.steps * t.prompts / rows if rows else None,
    )


def data_rows(settings: Settings) -> int | None:
    """Rows of the training data where that is known without a network: by its name, or a local file of lines."""
    source = settings.data.source
    if source.endswith(".jsonl") and Path(source).is_file():
        with Path(source).open() as lines:
            return sum(bool(line.strip()) for line in lines) or None
    return DATA_ROWS.get(source)


# As long as a completion, where a teacher's words show them.
TEXTS = {"<solution>": "the worked solution", "<right>": "a right sibling", "<wrong>": "a wrong sibling"}


def contexts_tried(method: Method) -> Mapping[str, Context]:
    """What the teachers are told about a failed rollout whose group has a success and whose problem has a solution."""
    group = [Sibling("<wrong>", 0.0), Sibling("<right>", 1.0)]
    return method.contexts(Task("<answer>", "<solution>"), group, 0)


def told_tokens(settings: Settings, method: Method) -> int:
    """Tokens by which a told prompt is longer at most: nothing worth counting for an answer, a completion each for
    a solution, a successful and a failed rollout."""
    found = [sum(text in context.words for text in TEXTS) for context in contexts_tried(method).values()]
    return settings.train.max_completion_tokens * max(found, default=0)


def told_words(method: Method) -> str:
    """Of each context, what its words show."""
    shown = {"<answer>": "the answer", **TEXTS}
    said = {
        name: " and ".join(words for text, words in shown.items() if text in context.words) or "nothing"
        for name, context in contexts_tried(method).items()
    }
    if len(said) == 1:
        return f"it is told: {next(iter(said.values()))}"
    return (
        "; ".join(f"{name} is told: {words}" for name, words in said.items()) or "what it is told depends on the group"
    )


def teacher_on_host(settings: Settings, method: Method, gpu: float | None) -> bool:
    """Whether a run whose GPU has `gpu` bytes (None: there is none) keeps the teacher's copy in host memory: as its
    plan says, and beside the policy where no configuration is at hand to plan by."""
    if gpu is None:
        return False
    with suppress(UserError):
        return memory(settings, method, model_shape(settings.model), gpu, told_tokens(settings, method)).host > 0
    return False


def teacher_words(settings: Settings, method: Method, shape: ModelShape, held: Memory) -> str:
    copy = teacher_copy(settings, method, shape)
    if not method.teachers:
        return "none: rewards alone decide"
    weights = " and ".join(dict.fromkeys(_weights(settings, spec) for spec in method.teachers.values()))
    size = "no copy in memory"
    if held.host:
        # torch rounds every pinned tensor up to a power of two.
        size = f"{held.host / GIB:.3g} GiB, at most twice that once pinned, of host memory in each process"
    elif copy:
        size = f"{copy / GIB:.3g} GiB" + (f", divided among {shards(settings)} GPUs" if shards(settings) > 1 else "")
    return f"{weights}; {size}; {told_words(method)}"


def _weights(settings: Settings, spec: Teacher) -> str:
    return {
        "initial": "the model before training, never renewed"
        + (" (the adapter is switched off)" if settings.model.lora is not None else ""),
        "live": "the policy itself, at every step",
        "snapshot": f"a copy of what is trained, renewed at the end of each {spec.every}th step",
        "ema": f"an average in float32: after each step {1 - spec.rate:g} of it + {spec.rate:g} of the policy",
        "external": f"another model, {settings.model.teacher}: its memory is not counted here",
    }[spec.kind]


def notes(settings: Settings, shape: ModelShape) -> list[str]:
    """What fits and still deserves a thought."""
    t, found = settings.train, []
    if settings.model.dtype == "bfloat16" and trained_bytes(settings) == 2:
        found.append(
            f"trained weights and AdamW stay in bfloat16: a change below 1/256 of a weight is lost, and a step of "
            f"{t.learning_rate:g} is below it for most. model.dtype=float32 or train.sharding=fsdp2 keep float32"
        )
    if shape.total < TINY:
        found.append(
            "so small a model, and any CPU, wait for other things than arithmetic: the seconds are far too few"
        )
    if t.sharding == "fsdp2" and t.processes == 1:
        found.append("train.sharding=fsdp2 has nothing to divide on one process")
    return found


def train_words(settings: Settings, preset: str, overrides: list[str]) -> list[str]:
    """What is typed after the interpreter."""
    words = ["cli.py", "train", "--preset", preset, "--method", settings.method]
    words += ["--seed", str(settings.seed)] if settings.seed else []
    return words + [word for pair in overrides for word in ("--set", pair)]


def launch_words(settings: Settings, train: list[str]) -> list[str]:
    """What that starts on several GPUs, for a launcher of one's own; empty for one process."""
    t = settings.train
    if t.processes == 1:
        return []
    file = launch_file(settings).relative_to(ROOT)
    return ["accelerate", "launch", "--config_file", str(file), "--num_processes", str(t.processes), *train]


def mend(settings: Settings, method: Method, gpu_memory: float) -> str:
    """The first change after which the memory does: one that changes no result, if there is one.

    Changes are tried alone, then each on top of the strongest of those before it.
    """
    groups = changes(settings)
    tries = [[change] for group in groups for change in group]
    for stack in (groups, [group for group in groups if "vllm" not in group[0]]):  # the engine's weights may not fit
        tries += [[group[-1] for group in stack[:n]] for n in range(2, len(stack) + 1)]
    for pairs in tries:
        with suppress(UserError):  # where a batch no longer divides
            changed = override(settings, pairs)
            shape, told = model_shape(changed.model), told_tokens(changed, method)
            held = memory(changed, method, shape, gpu_memory * GIB, told)
            if held.fits:
                words = " ".join(f"--set {shlex.quote(pair)}" for pair in pairs)
                return f"It would with {words} ({held.needed / GIB:.1f} GiB)."
    return "No change of batch, sharding or adapters mends it: take larger GPUs, or a smaller model.path."


def changes(settings: Settings) -> list[list[str]]:
    """Settings that need less memory, mildest value first; those that leave the result alone come first."""
    t = settings.train
    many = [n for n in (2, 4, 8, 16) if n > t.processes]
    groups = [
        [] if t.gradient_checkpointing else ["train.gradient_checkpointing=true"],
        [f"train.micro_batch={n}" for n in (16, 8, 4, 2, 1) if n < t.device_batch],
        ["train.sharding=fsdp2"] if t.processes > 1 and t.sharding == "none" else [],
        [f"train.vllm={'false' if t.vllm else 'true'}"],
        [f"train={{processes: {n}, sharding: fsdp2}}" for n in many],
        [f"train.prompts={t.prompts // n}" for n in (2, 4, 8, 16) if t.prompts % n == 0],
        [f"train.max_completion_tokens={t.max_completion_tokens // n}" for n in (2, 4)],
        [] if settings.model.lora else ["model.lora={rank: 64, alpha: 128}"],
    ]
    return [group for group in groups if group]
