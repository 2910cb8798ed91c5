"""What a run would do, before anybody rents a GPU for it: memory, work, the teacher."""

import importlib.metadata
import shlex
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from eval.core.errors import UserError
from eval.core.tables import rows_in, training_files
from methods import Context, Method, Sibling, Task, Teacher
from methods.checked import HookError, checked
from runners.plan.memory import GIB, Memory, memory, teacher_copy, trained_bytes
from runners.plan.model_shape import ModelShape, model_shape
from runners.plan.work import Work, work
from runners.run.config import Settings, override

DATA_ROWS = {"iieycx/rlsd-train-MMFineReason-123K": 123_000}  # by its name: a plan asks no hub
# As long as a completion, where a teacher's words show them.
TEXTS = {"<solution>": "the worked solution", "<right>": "a right sibling", "<wrong>": "a wrong sibling"}
TINY = 100_000_000  # parameters below which a GPU's peak says nothing


class Plan(NamedTuple):
    shape: ModelShape
    memory: Memory
    work: list[Work]
    teacher: str
    notes: list[str]
    mend: str | None  # what to change where the memory does not do; None where it does
    missing: list[str]  # packages that the run needs and that are not here, each with what to do


def make_plan(settings: Settings, method: Method, gpu_memory: float, mfu: float) -> Plan:
    """The plan of complete settings. `gpu_memory` in GiB, `mfu` the assumed share of the peak that is reached.

    Raises UserError where the model's configuration is not at hand.
    """
    shape, gpu = model_shape(settings.model), gpu_memory * GIB
    held = memory(settings, method, shape, gpu)
    return Plan(
        shape,
        held,
        work(settings, method, shape, gpu, mfu, told_tokens(settings, method)),
        teacher_words(settings, method, shape, held),
        notes(settings, shape),
        None if held.fits else mend(settings, method, gpu),
        missing(settings),
    )


def missing(settings: Settings) -> list[str]:
    found = []
    if settings.train.vllm and not _installed("vllm"):
        found.append("vLLM for GPUs (run it with `uv run --extra vllm`, or --set train.vllm=false)")
    if settings.model.attention.startswith("flash_attention") and not _installed("flash-attn"):
        found.append(f"flash-attn, for model.attention={settings.model.attention} (sdpa ships with torch)")
    return found


def _installed(distribution: str) -> bool:
    """By its distribution: vLLM's build for CPUs has the same module, and another name."""
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False


def epochs(settings: Settings) -> float | None:
    """Over the training data, where its size is known without a network: by its name, or where it is local."""
    found = training_files(settings.data.source, settings.data.split)
    rows = DATA_ROWS.get(settings.data.source) if found is None else rows_in(found)
    return settings.train.steps * settings.train.prompts / rows if rows else None


def contexts_tried(method: Method) -> Mapping[str, Context]:
    """What the teachers are told about a failed rollout whose group has a success and whose problem has a solution."""
    group = [Sibling("<wrong>", 0.0), Sibling("<right>", 1.0)]
    try:
        return checked(method).contexts(Task("<answer>", "<solution>"), group, 0)
    except HookError as error:
        raise UserError(str(error)) from error


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
    each = [f"{name} is told: {words}" for name, words in said.items()]
    return "; ".join(each) or "what it is told depends on the group"


def teacher_words(settings: Settings, method: Method, shape: ModelShape, held: Memory) -> str:
    copy, shards = teacher_copy(settings, method, shape), settings.train.shards
    if not method.teachers:
        return "none: rewards alone decide"
    weights = " and ".join(dict.fromkeys(_weights(settings, spec) for spec in method.teachers.values()))
    size = "no copy in memory"
    if held.host:
        # torch rounds every pinned tensor up to a power of two.
        size = f"{held.host / GIB:.3g} GiB, at most twice that once pinned, of host memory in each process"
    elif copy:
        size = f"{copy / GIB:.3g} GiB" + (f", divided among {shards} GPUs" if shards > 1 else "")
    return f"{weights}; {size}; {told_words(method)}"


def _weights(settings: Settings, spec: Teacher) -> str:
    return {
        "initial": "the model before training, never renewed"
        + (" (the adapter is switched off)" if settings.model.lora is not None else ""),
        "live": "the policy itself, at every step",
        "snapshot": f"a copy of what is trained, renewed at the end of each {spec.every}th step",
        "ema": f"an average in float32: after each step {1 - spec.rate:g} of it + {spec.rate:g} of the policy",
        "external": f"another model, {settings.model.teacher or 'which model.teacher will name'}, never renewed",
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
        found.append("so small a model, and any CPU, wait for other things than arithmetic: the seconds are too few")
    if shape.uncounted:
        found.append(f"not counted: {shape.uncounted}")
    if t.sharding == "fsdp2" and t.processes == 1:
        found.append("train.sharding=fsdp2 has nothing to divide on one process")
    return found


def mend(settings: Settings, method: Method, gpu: float) -> str:
    """The first change after which the memory does: one that changes no result, if there is one.

    Changes are tried alone, then each on top of the strongest of those before it.
    """
    groups = changes(settings)
    tries = [[change] for group in groups for change in group]
    for stack in (groups, [group for group in groups if "train.vllm=" not in group[0]]):  # its weights may not fit
        tries += [[group[-1] for group in stack[:n]] for n in range(2, len(stack) + 1)]
    for pairs in tries:
        with suppress(UserError):  # where a batch no longer divides
            changed = override(settings, pairs)
            held = memory(changed, method, model_shape(changed.model), gpu)
            if held.fits:
                words = " ".join(f"--set {shlex.quote(pair)}" for pair in pairs)
                return f"It would with {words} ({held.needed / GIB:.1f} GiB)."
    return "No change of batch, sharding or adapters mends it: take larger GPUs, or a smaller model.path."


def changes(settings: Settings) -> list[list[str]]:
    """Settings that need less memory, mildest value first; those that leave the result alone come first."""
    t = settings.train
    groups = [
        [] if t.gradient_checkpointing else ["train.gradient_checkpointing=true"],
        [f"train.micro_batch={n}" for n in (16, 8, 4, 2, 1) if n < t.device_batch],
        ["train.sharding=fsdp2"] if t.processes > 1 and t.sharding == "none" else [],
        ["train.vllm_sleep=true"] if t.vllm and not t.vllm_sleep else [],
        [f"train.vllm={'false' if t.vllm else 'true'}"],
        [f"train={{processes: {n}, sharding: fsdp2}}" for n in (2, 4, 8, 16) if n > t.processes],
        [f"train.prompts={t.prompts // n}" for n in (2, 4, 8, 16) if t.prompts % n == 0],
        [f"train.max_completion_tokens={t.max_completion_tokens // n}" for n in (2, 4)],
        [] if settings.model.lora else ["model.lora={rank: 64, alpha: 128}"],
    ]
    return [group for group in groups if group]
