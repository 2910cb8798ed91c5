"""What one GPU holds at the worst moment of a step: every line with the words of its formula.

Everything is an upper bound: each prompt and completion at its limit, one picture per prompt as large as allowed. What
training really holds, as TRL 1.16, accelerate 1.15 and peft 0.21 do it:

* A trained weight keeps the dtype it is loaded in, and so do its gradient and both AdamW averages. Two exceptions: peft
  makes adapters float32, and accelerate's FSDP2 makes every trained weight float32 under mixed precision.
* FSDP2 computes in the model's dtype, and reduces each micro-batch's gradients in float32 to shards.
* DDP keeps a second copy of the gradients in its buckets, and a third one while those of a group's last part wait for
  its prompt's: see runners/forward/split_group.py.
* Gradients exist while an update accumulates, and are freed after it.
"""

from typing import NamedTuple

from methods import Method
from runners.plan.activations import kept_bytes, layer_bytes, vision_bytes
from runners.plan.model_shape import BYTES, ModelShape
from runners.plan.passes import Pass, reading, student_passes, teacher_passes, two_phase, without_gradient
from runners.run.config import Settings

GIB = 1 << 30
VLLM_SHARE = 0.3  # TRL's vllm_gpu_memory_utilization: what a colocated engine takes of the GPU, and keeps
VLLM_WORK = 2 * GIB  # assumed: what the engine needs of its share beside weights and cache
OVERHEAD = 4 * GIB  # assumed: CUDA context, NCCL, fragmentation
# Float32 copies of a chunk of logits at the peak: of a divergence, counted on the Jensen-Shannon one, and of sampled
# tokens' log-probabilities alone.
LOGIT_COPIES, SAMPLED_COPIES = 8, 4

ALWAYS = frozenset({"rollouts", "scoring", "update"})
PHASES = ("rollouts", "scoring", "update")


class Line(NamedTuple):
    """`size` in bytes on one GPU, in which phases of a step it is held, and how it comes about, in words."""

    what: str
    formula: str
    size: float
    phases: frozenset[str]


class Memory(NamedTuple):
    lines: list[Line]
    available: float  # bytes of one GPU
    sequences: int  # of full length that the key-value cache holds at once
    host: float  # bytes of host memory in each process: the teacher's copy where the GPU has no room for it

    def of(self, phase: str) -> float:
        return sum(line.size for line in self.lines if phase in line.phases)

    @property
    def worst(self) -> str:
        """The phase that holds most."""
        return max(PHASES, key=self.of)

    @property
    def needed(self) -> float:
        return self.of(self.worst)

    @property
    def fits(self) -> bool:
        return self.needed <= self.available and self.sequences > 0


class Cache(NamedTuple):
    """Key-value cache of one GPU's rollouts: bytes per token, bytes there are, whole-length sequences that fit."""

    per_token: int
    size: float
    sequences: int


def numbers(n: int) -> str:
    """A count of parameters in billions or millions."""
    return f"{n / 1e9:.3f} billion" if n >= 1e8 else f"{n / 1e6:.3f} million"


def prompt_patches(settings: Settings, shape: ModelShape) -> int:
    """Patches of a prompt's picture at most: by model.max_pixels, and never more than the prompt's limit holds."""
    by_prompt = settings.train.max_prompt_tokens * shape.merge
    return min(by_prompt, settings.model.max_pixels // shape.patch**2) if settings.model.max_pixels else by_prompt


def rollouts_per_gpu(settings: Settings) -> int:
    return settings.train.prompts * settings.train.generations // settings.train.processes


def trained_bytes(settings: Settings) -> int:
    """Bytes of a trained weight: see the top of this file."""
    return 4 if settings.model.lora is not None or shards(settings) > 1 else BYTES[settings.model.dtype]


def shards(settings: Settings) -> int:
    return settings.train.processes if settings.train.sharding == "fsdp2" else 1


def teacher_copy(settings: Settings, method: Method, shape: ModelShape) -> int:
    """Bytes, over all shards, of the teacher's copy of the trained weights; 0 where the teacher needs none."""
    kinds = [spec.kind for spec in set(method.teachers.values()) if spec.kind not in ("live", "external")]
    if settings.model.lora is not None:
        kinds = [kind for kind in kinds if kind != "initial"]
    return sum(shape.trained * (4 if kind == "ema" else trained_bytes(settings)) for kind in kinds)


def key_value_cache(settings: Settings, shape: ModelShape, gpu: float) -> Cache:
    """What vLLM has left for it, or what transformers grows to: all rollouts of the GPU in one batch."""
    t = settings.train
    per_token = shape.kv_values_per_token * BYTES[settings.model.dtype]
    length = t.max_prompt_tokens + t.max_completion_tokens
    if not t.vllm:
        return Cache(per_token, float(rollouts_per_gpu(settings) * length * per_token), rollouts_per_gpu(settings))
    left = max(VLLM_SHARE * gpu - shape.base * BYTES[settings.model.dtype] - VLLM_WORK, 0.0)
    return Cache(per_token, left, int(left // (length * per_token)))


def memory(settings: Settings, method: Method, shape: ModelShape, gpu: float, told: int) -> Memory:
    """`gpu`: bytes of one GPU; `told`: tokens that a teacher's prompt has more than the student's, at most.

    The teacher's copy is kept in host memory where the GPU has no room for it.
    """
    held = _memory(settings, method, shape, gpu, told, on_host=False)
    if held.fits or not teacher_copy(settings, method, shape):
        return held
    return _memory(settings, method, shape, gpu, told, on_host=True)


def _memory(settings: Settings, method: Method, shape: ModelShape, gpu: float, told: int, *, on_host: bool) -> Memory:
    teacher, host = teacher_memory(settings, method, shape, on_host)
    lines = [
        *_states(settings, method, shape),
        *teacher,
        *_rollouts(settings, shape, gpu),
        *_scoring(settings, method, shape, told),
        *_repeated(settings, method, shape, told),
        *_update(settings, method, shape),
        Line("overhead", "CUDA context, NCCL, fragmentation: an assumption", OVERHEAD, ALWAYS),
    ]
    return Memory([line for line in lines if line.size], gpu, key_value_cache(settings, shape, gpu).sequences, host)


def teacher_memory(settings: Settings, method: Method, shape: ModelShape, on_host: bool) -> tuple[list[Line], float]:
    """What the teacher's copy holds on a GPU, and its bytes of host memory in each process: see train/weight_swap."""
    copy, parts = teacher_copy(settings, method, shape), shards(settings)
    if not copy:
        return [], 0.0
    n, size, scoring = shape.trained, trained_bytes(settings), frozenset({"scoring"})
    over = f" / {parts} GPUs" if parts > 1 else ""
    lines = [Line("teacher's copy", f"{numbers(n)} x {copy // n} bytes{over}", copy / parts, ALWAYS)]
    # No tensor is larger than the head; adapters all together may be smaller.
    words = "the largest tensor: values of teacher and policy change places one tensor after the other"
    buffer = Line("exchange buffer", words, min(shape.head, n) * size / parts, scoring)
    cast = n * size / parts if copy > n * size else 0.0  # an average is wider than the policy that computes with it
    if on_host:
        return [buffer], copy / parts + cast
    if cast:
        lines.append(Line("teacher's cast", "its average in the dtype of the trained weights", cast, scoring))
    elif parts > 1:
        lines.append(buffer)
    return lines, 0.0


def _states(settings: Settings, method: Method, shape: ModelShape) -> list[Line]:
    n, size, parts = shape.trained, trained_bytes(settings), shards(settings)
    frozen, compute = shape.total - n, BYTES[settings.model.dtype]
    trained = numbers(n)
    over = f" / {parts} GPUs" if parts > 1 else ""
    update = frozenset({"update", "scoring"} if method.distils else {"update"})
    copies, copy_words = 1, ""
    if settings.train.processes > 1 and parts == 1:
        copies, copy_words = 2, ", twice: DDP's buckets"
        if two_phase(settings):
            copies, copy_words = 3, ", three times: DDP's buckets, and what waits in a group's last part"
    lines = [
        Line("trained weights", f"{trained} x {size} bytes{over}", n * size / parts, ALWAYS),
        Line("frozen weights", f"{numbers(frozen)} x {compute} bytes{over}", frozen * compute / parts, ALWAYS),
        Line("AdamW", f"2 averages x {trained} x {size} bytes{over}", 2 * n * size / parts, ALWAYS),
        Line("gradients", f"as the trained weights{copy_words}", copies * n * size / parts, update),
    ]
    if parts > 1:
        whole = 2 * shape.largest_layer + shape.outside_layers + shape.head
        one = max(shape.head, shape.largest_layer)
        words = "two decoder layers, the head and what is in no layer, whole; one whole gradient, in float32 too"
        lines.append(Line("FSDP2 at work", words, (whole + one) * compute + 4 * one, ALWAYS))
    return lines


def _rollouts(settings: Settings, shape: ModelShape, gpu: float) -> list[Line]:
    t, compute = settings.train, BYTES[settings.model.dtype]
    rollouts, phase = rollouts_per_gpu(settings), frozenset({"rollouts"})
    cache = key_value_cache(settings, shape, gpu)
    # Of every rollout, until TRL hands the batch over, which scores it before where several updates follow.
    pictures = _pictures(settings, shape, rollouts, "rollouts", phase | {"scoring"} if t.updates > 1 else phase)
    if t.vllm:
        words = (
            f"{VLLM_SHARE:.0%} of the GPU: weights {shape.base * compute / GIB:.1f} GiB, cache {cache.size / GIB:.1f} "
            f"GiB = {cache.sequences} sequences of {t.max_prompt_tokens + t.max_completion_tokens:,} tokens at once"
        )
        return [Line("vLLM", words, VLLM_SHARE * gpu, ALWAYS), pictures]
    prompt = reading(settings).tokens
    widest = prompt * (3 * shape.hidden + 3 * shape.ffn) * compute
    later = rollouts * t.max_completion_tokens * cache.per_token  # not yet there while prompts are read
    words = (
        f"{rollouts:,} rollouts x {t.max_prompt_tokens + t.max_completion_tokens:,} tokens x {cache.per_token:,} bytes"
    )
    return [
        Line("key-value cache", words, cache.size, phase),
        Line(
            "reading prompts",
            f"{prompt:,} prompt tokens in one forward, less what the cache grows by later",
            max(widest - later, 0),
            phase,
        ),
        pictures,
    ]


def _largest(passes: list[Pass]) -> Pass:
    return max(passes, key=lambda one: one.tokens)


def _scoring(settings: Settings, method: Method, shape: ModelShape, told: int) -> list[Line]:
    largest, phase = _largest(without_gradient(settings, method, told)), frozenset({"scoring"})
    words = f"{largest.tokens:,} tokens without gradient: the widest layer's tensors"
    size = largest.tokens * (3 * shape.hidden + 3 * shape.ffn) * BYTES[settings.model.dtype]
    return [Line("a forward", words, size, phase), _pictures(settings, shape, largest.pictures, "in a pass", phase)]


def _pictures(settings: Settings, shape: ModelShape, number: int, where: str, phases: frozenset[str]) -> Line:
    patches = prompt_patches(settings, shape)
    words = f"{number:,} {where} x {patches:,} patches x {shape.patch_values:,} float32 values"
    return Line("pictures", words, number * patches * shape.patch_values * 4, phases)


def _repeated(settings: Settings, method: Method, shape: ModelShape, told: int) -> list[Line]:
    """On a GPU the attention of packed groups repeats the prompt's keys and values, before those of each completion
    and for every query head: see runners/forward/prefix_attention.py."""
    t = settings.train
    if not t.shared_prefix:
        return []
    kept = 1 if t.gradient_checkpointing else shape.layers
    lines = []
    for phase, one, layers in (
        ("scoring", _largest(without_gradient(settings, method, told)), 1),
        ("update", _largest(student_passes(settings)), kept),
    ):
        several = one.rollouts > one.prompts or (phase == "update" and two_phase(settings))
        tokens = one.rollouts * (one.prompt + one.completion) if several else 0
        size = 2 * tokens * shape.queries * BYTES[settings.model.dtype] * layers
        words = f"keys and values of {tokens:,} tokens, each completion's prompt among them, in {layers} of the layers"
        lines.append(Line("keys, repeated", words, size, frozenset({phase})))
    return lines


def _update(settings: Settings, method: Method, shape: ModelShape) -> list[Line]:
    t, phase, largest = settings.train, frozenset({"update"}), _largest(student_passes(settings))
    tokens, patches = largest.tokens, largest.pictures * prompt_patches(settings, shape)
    text, vision = kept_bytes(settings, shape, tokens, patches)
    # Gradients inside the layer that is at work.
    text += tokens * (2 * shape.hidden + 3 * shape.ffn) * BYTES[settings.model.dtype]
    words = "all of {} layers"
    if t.gradient_checkpointing:
        words = "the input of each of {} layers, and one layer in full"
        text += tokens * layer_bytes(settings, shape)
        vision += patches * vision_bytes(settings, shape)[0]
    shown = f"{largest.rollouts:,} completions, {largest.prompts:,} prompt{'s' if largest.prompts > 1 else ''}"
    # Of a group in parts: the gradients that gather; keys and values are the layers' own where those are kept.
    each = (2 if t.gradient_checkpointing else 1) * shape.kv_values_per_token * BYTES[settings.model.dtype]
    keys = largest.prompt * each if two_phase(settings) else 0
    return [
        Line("prompt's keys", f"{largest.prompt:,} tokens x {each:,} bytes: until the group's last part", keys, phase),
        Line("activations, text", f"{tokens:,} tokens ({shown}): {words.format(shape.layers)}", text, phase),
        _pictures(settings, shape, largest.pictures, "in a pass", phase),
        Line("activations, vision", f"{patches:,} patches: {words.format(shape.vision_layers)}", vision, phase),
        *head_lines(settings, method, shape),
    ]


def keeps_logits(settings: Settings, shape: ModelShape) -> bool:
    """Whether a micro-batch's logits wait for the backward pass of the policy gradient; else they are formed anew."""
    from runners.forward.chunked_head import KEEP

    return _largest(student_passes(settings)).scored * shape.vocabulary <= KEEP


def head_lines(settings: Settings, method: Method, shape: ModelShape) -> list[Line]:
    """Logits exist a chunk at a time; FSDP2 gathers the head, with what is in no layer, in the dtype of computation."""
    from runners.forward.lm_head import CHUNK

    phase, compute = frozenset({"update"}), BYTES[settings.model.dtype]
    width = trained_bytes(settings) if shape.head_trained and shards(settings) == 1 else compute
    head, head_size = shape.head * width, numbers(shape.head)
    own = teacher_copy(settings, method, shape) > 0 and shape.head_trained
    chunk, copies = max(CHUNK, shape.vocabulary), LOGIT_COPIES if method.distils else SAMPLED_COPIES
    tokens = _largest(student_passes(settings)).scored
    lines = [
        Line("logits", f"{chunk:,} at a time x {copies} float32 copies", chunk * copies * 4, phase),
    ]
    if method.policy_gradient and keeps_logits(settings, shape):
        words = f"{tokens:,} tokens x {shape.vocabulary:,}, kept for the backward pass"
        lines.append(Line("logits, kept", words, tokens * shape.vocabulary * compute, phase))
    if shape.head_trained:
        words = f"{head_size} x 4 bytes, whole, summed over the chunks"
        each = 4 + (width if width < 4 else 0)  # it is cast to the dtype of the weights in the end
        if method.policy_gradient and method.distils:
            words, each = f"{words}; the other loss's, and both together", each + 2 * width
        lines.append(Line("head's gradient", words, shape.head * each, phase))
    words = f"{tokens:,} tokens x {shape.hidden:,} values: the student's, its gradient"
    states = 2 * tokens
    if method.distils:  # of a group in parts the teacher's are there with the first of them
        told = _largest(teacher_passes(settings, method, 0)).scored
        states, words = states + told, f"{words}; the teacher's of {told:,} tokens"
    lines.append(Line("hidden states", words, states * shape.hidden * compute, phase))
    if method.distils and own:
        words = f"{head_size}, whole, while a divergence is computed"
        lines.append(Line("teacher's head", words, head, phase))
    return lines
