"""What one GPU holds at the worst moment of a step, part by part.

An upper bound: each prompt and completion at its limit, one picture per prompt as large as allowed. Passes without
gradient hold less than an update does, and are left out. What training really holds, as TRL 1.16, accelerate 1.15 and
peft 0.21 do it:

* A trained weight keeps the dtype it is loaded in, and so do its gradient and both AdamW averages. Two exceptions: peft
  makes adapters float32, and accelerate's FSDP2 makes every trained weight float32 under mixed precision.
* FSDP2 computes in the model's dtype, and reduces each micro-batch's gradients in float32 to shards.
* DDP keeps a second copy of the gradients in its buckets, and a third one while those of a group's last part wait for
  its prompt's: see runners/forward/split_group.py.
* Gradients exist while an update accumulates, and are freed after it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from methods import Method
from runners.forward import chunked_head, lm_head
from runners.plan.model_shape import BYTES, ModelShape, model_shape
from runners.plan.passes import Forwarded, micro_batch, parts, rollouts_per_gpu, scored_at_once
from runners.run.config import Settings

GIB = 1 << 30
VLLM_WORK = 2 * GIB  # assumed: what the engine needs of its share beside weights and cache
OVERHEAD = 4 * GIB  # assumed: CUDA context, NCCL, fragmentation
# Float32 copies of a chunk of logits at the peak: of a divergence, counted on the Jensen-Shannon one, and of sampled
# tokens' log-probabilities alone.
LOGIT_COPIES, SAMPLED_COPIES = 8, 4
PHASES = ("rollouts", "update")


class Line(NamedTuple):
    """`size` in bytes on one GPU, how it comes about, in words, and in which phase of a step: always where None."""

    what: str
    formula: str
    size: float
    phase: str | None = None


class Memory(NamedTuple):
    lines: list[Line]
    available: float  # bytes of one GPU
    sequences: int  # of full length that the key-value cache holds at once
    host: float  # bytes of host memory in each process: the teacher's copy where the GPU has no room for it

    def of(self, phase: str) -> float:
        return sum(line.size for line in self.lines if line.phase in (None, phase))

    @property
    def needed(self) -> float:
        return max(map(self.of, PHASES))

    @property
    def fits(self) -> bool:
        return self.needed <= self.available and self.sequences > 0


class Cache(NamedTuple):
    """Key-value cache of one GPU's rollouts: bytes per token, bytes there are, whole-length sequences that fit."""

    per_token: int
    size: float
    sequences: int


def prompt_patches(settings: Settings, shape: ModelShape) -> int:
    """Patches of a prompt's picture at most: by model.max_pixels, and never more than the prompt's limit holds."""
    by_prompt = settings.train.max_prompt_tokens * shape.merge
    if not shape.merge:  # a text model's, or of a tower that model_shape does not know
        return 0
    return min(by_prompt, settings.model.max_pixels // shape.patch**2) if settings.model.max_pixels else by_prompt


def trained_bytes(settings: Settings) -> int:
    """Bytes of a trained weight: see the top of this file."""
    return 4 if settings.model.lora is not None or settings.train.shards > 1 else BYTES[settings.model.dtype]


def teacher_copy(settings: Settings, method: Method, shape: ModelShape) -> int:
    """Bytes, over all shards, of the teacher's copy of the trained weights; 0 where the teacher needs none."""
    kinds = [spec.kind for spec in set(method.teachers.values()) if spec.kind not in ("live", "external")]
    if settings.model.lora is not None:
        kinds = [kind for kind in kinds if kind != "initial"]
    return sum(shape.trained * (4 if kind == "ema" else trained_bytes(settings)) for kind in kinds)


def key_value_cache(settings: Settings, shape: ModelShape, gpu: float) -> Cache:
    """What vLLM has left for it, or what transformers grows to: all rollouts of the GPU in one batch."""
    t, rollouts = settings.train, rollouts_per_gpu(settings)
    per_token = shape.kv_values_per_token * BYTES[settings.model.dtype]
    sequence = (t.max_prompt_tokens + t.max_completion_tokens) * per_token
    if not t.vllm:
        return Cache(per_token, float(rollouts * sequence), rollouts)
    weights = shape.base * BYTES[settings.model.dtype] / t.vllm_tensor_parallel
    left = max(t.vllm_memory * gpu - weights - VLLM_WORK, 0.0)
    return Cache(per_token, left, int(left * t.vllm_tensor_parallel // sequence))


def memory(settings: Settings, method: Method, shape: ModelShape, gpu: float) -> Memory:
    """`gpu`: bytes of one GPU."""
    cache, shards = key_value_cache(settings, shape, gpu), settings.train.shards
    lines = [*_always(settings, method, shape), *_rollouts(settings, shape, gpu, cache)]
    lines.append(Line("overhead", "CUDA context, NCCL, fragmentation: an assumption", OVERHEAD))
    # By the rule of runners/train/teacher.py, which asks the GPU itself.
    copy, trained = teacher_copy(settings, method, shape), shape.trained * trained_bytes(settings)
    host, free = 0.0, gpu - sum(line.size for line in lines if line.phase is None)
    if (3 * trained + copy) / shards + gpu / 2 <= free:
        words = f"{_numbers(shape.trained)} x {copy // shape.trained} bytes{_shared(settings)}"
        lines.append(Line("teacher's copy", words, copy / shards))
    elif copy:  # an average is wider than the policy, whose own values wait in a copy while it scores
        host = (copy + (trained if copy > trained else 0)) / shards
    lines += _update(settings, method, shape)
    return Memory([line for line in lines if line.size], gpu, cache.sequences, host)


def _shared(settings: Settings) -> str:
    return f" / {settings.train.shards} GPUs" if settings.train.shards > 1 else ""


def _numbers(n: int) -> str:
    """A count of parameters in billions or millions."""
    return f"{n / 1e9:.3f} billion" if n >= 1e8 else f"{n / 1e6:.3f} million"


def _always(settings: Settings, method: Method, shape: ModelShape) -> Iterator[Line]:
    """The weights as they are loaded, and another model that teaches: whole on each GPU, and as large as the policy
    where none is named yet."""
    n, frozen, shards, over = shape.trained, shape.total - shape.trained, settings.train.shards, _shared(settings)
    size, compute, name = trained_bytes(settings), BYTES[settings.model.dtype], settings.model.teacher
    yield Line("trained weights", f"{_numbers(n)} x {size} bytes{over}", n * size / shards)
    yield Line("frozen weights", f"{_numbers(frozen)} x {compute} bytes{over}", frozen * compute / shards)
    if any(spec.kind == "external" for spec in method.teachers.values()):
        named = settings.model.model_copy(update={"path": name, "lora": None})
        other = model_shape(named).base if name else shape.base
        words = f"{_numbers(other)} x {compute} bytes, whole on each GPU"
        words += "" if name else ": model.teacher is not set, counted as the policy"
        yield Line("external teacher", words, other * compute)


def _rollouts(settings: Settings, shape: ModelShape, gpu: float, cache: Cache) -> Iterator[Line]:
    """The engine, or the cache that transformers keeps; pictures, until TRL hands the batch over."""
    t, rollouts, patches = settings.train, rollouts_per_gpu(settings), prompt_patches(settings, shape)
    tokens = f"{t.max_prompt_tokens + t.max_completion_tokens:,} tokens"
    if t.vllm:
        engines = f" / {t.vllm_tensor_parallel} GPUs" if t.vllm_tensor_parallel > 1 else ""
        weights = f"weights {shape.base * BYTES[settings.model.dtype] / GIB:.1f} GiB{engines}"
        held = f"cache {cache.size / GIB:.1f} GiB = {cache.sequences} sequences of {tokens} at once"
        words = f"{t.vllm_memory:.0%} of the GPU: {weights}, {held}{engines and ' on them'}"
        yield Line("vLLM", words, t.vllm_memory * gpu, "rollouts" if t.vllm_sleep else None)
    else:
        words = f"{rollouts:,} rollouts x {tokens} x {cache.per_token:,} bytes"
        yield Line("key-value cache", words, cache.size, "rollouts")
    words = f"{rollouts:,} rollouts x {patches:,} patches x {shape.patch_values:,} float32 values"
    yield Line("pictures", words, rollouts * patches * shape.patch_values * 4, "rollouts")


def _update(settings: Settings, method: Method, shape: ModelShape) -> Iterator[Line]:
    """The optimizer, and the worst moment of a micro-batch."""
    n, size, shards, over = shape.trained, trained_bytes(settings), settings.train.shards, _shared(settings)
    ddp = settings.train.processes > shards
    copies = (2 if parts(settings) == 1 else 3) if ddp else 1
    times = ["", ", twice: DDP's buckets", ", three times: DDP's buckets, and what waits for a prompt's"][copies - 1]
    yield Line("AdamW", f"2 averages x {_numbers(n)} x {size} bytes{over}", 2 * n * size / shards)
    yield Line("gradients", f"as the trained weights{times}", copies * n * size / shards, "update")
    if shards > 1:
        whole = 2 * shape.largest_layer + shape.outside_layers + shape.head
        one = max(shape.head, shape.largest_layer)
        words = "two decoder layers, the head and what is in no layer, whole; one whole gradient, in float32 too"
        yield Line("FSDP2 at work", words, (whole + one) * BYTES[settings.model.dtype] + 4 * one)
    batch = micro_batch(settings)
    patches = batch.pictures * prompt_patches(settings, shape)
    text, vision = kept_bytes(settings, shape, batch.tokens, patches)
    layers, work = "all layers", ""
    # Gradients inside a layer, and what a checkpointed layer computes anew.
    inside = (2 * shape.hidden + 3 * shape.ffn) * BYTES[settings.model.dtype]
    if settings.train.gradient_checkpointing:
        layers, work = "the input of each layer", ", and one layer in full"
        inside += layer_bytes(settings, shape)
    prompts = f"prompts {batch.prompts:,} x {batch.prompt:,}"
    shown = f"{batch.tokens:,} tokens ({batch.rollouts:,} x {batch.completion:,}, {prompts})"
    yield Line("activations, text", f"{shown}: {layers}{work}", text + batch.tokens * inside, "update")
    yield Line("activations, vision", f"{patches:,} patches: {layers}", vision, "update")
    repeated = "of shared prompts, before those of each completion"
    yield Line("keys and values", repeated, key_bytes(settings, shape, batch), "update")
    yield Line("head", *head_bytes(settings, method, shape), "update")


def keeps_logits(settings: Settings, shape: ModelShape) -> bool:
    """Whether a micro-batch's logits wait for the backward pass of the policy gradient; else they are formed anew."""
    return micro_batch(settings).scored * shape.vocabulary <= chunked_head.KEEP


def head_bytes(settings: Settings, method: Method, shape: ModelShape) -> tuple[str, int]:
    """Logits exist a chunk at a time; FSDP2 gathers the head, with what is in no layer, in the dtype of computation."""
    compute, tokens = BYTES[settings.model.dtype], micro_batch(settings).scored
    width = trained_bytes(settings) if shape.head_trained and settings.train.shards == 1 else compute
    chunk, copies = max(lm_head.CHUNK, shape.vocabulary), LOGIT_COPIES if method.distils else SAMPLED_COPIES
    size, words = chunk * copies * 4, [f"{chunk:,} logits at a time"]
    if method.policy_gradient and keeps_logits(settings, shape):
        size += tokens * shape.vocabulary * compute
        words.append(f"those of {tokens:,} tokens, kept")
    if shape.head_trained:
        each = 4 + (width if width < 4 else 0)  # summed in float32, and cast to the dtype of the weights in the end
        each += 2 * width if method.policy_gradient and method.distils else 0  # the other loss's, and both together
        size += shape.head * each
        words.append(f"a gradient of {_numbers(shape.head)}")
    size += 2 * tokens * shape.hidden * compute  # hidden states and their gradient
    if method.distils:  # of a group in parts what the teacher says is there with the first of them
        told = scored_at_once(settings).scored if parts(settings) > 1 else tokens
        size += told * shape.hidden * compute
        if shape.head_trained and teacher_copy(settings, method, shape):
            size += shape.head * width
            words.append("the teacher's head")
    return "; ".join([*words, "hidden states"]), size


def layer_bytes(settings: Settings, shape: ModelShape) -> int:
    """What one decoder layer saves for its backward pass, bytes per token.

    Counted on transformers' Qwen3-VL: in bfloat16 each of its four norms keeps a float32 copy of its input.
    """
    d, q, k, f = shape.hidden, shape.queries, shape.keys, shape.ffn
    attention = 2 * q + 2 * k
    if settings.train.shared_prefix:  # its result once more, of the completions
        attention = 3 * q + 2 * k
    elif settings.model.attention == "sdpa":  # a padded batch makes it repeat keys and values for every query head
        attention = 4 * q
    wide = 6 * d + 2 * (q + k) + attention + 4 * f
    return 4 * wide if settings.model.dtype == "float32" else 2 * (wide + 2 * d + q + k)


def kept_bytes(settings: Settings, shape: ModelShape, tokens: int, patches: int) -> tuple[int, int]:
    """What a forward with gradient keeps of its tokens, and of its patches, until the backward pass."""
    compute, v = BYTES[settings.model.dtype], shape.vision_hidden
    layer, vision_layer = layer_bytes(settings, shape), compute * (11 * v + 2 * shape.vision_ffn)
    merging = compute * (3 * v * shape.mergers + shape.patch_values)
    if settings.train.gradient_checkpointing:  # the inputs of the layers
        layer, vision_layer = shape.hidden * compute, v * compute
    last_norm = shape.hidden * (8 if settings.model.dtype == "float32" else 6)
    return tokens * (shape.layers * layer + last_norm), patches * (shape.vision_layers * vision_layer + merging)


def key_bytes(settings: Settings, shape: ModelShape, one: Forwarded) -> int:
    """Keys and values beside those that layers keep. On a GPU the attention of packed groups repeats the prompt's
    before those of each completion and for every query head: see runners/forward/prefix_attention.py. Of a group in
    parts the prompt's wait for the last part, with the gradients that gather."""
    t, compute, split = settings.train, BYTES[settings.model.dtype], parts(settings) > 1
    size = 0
    if t.shared_prefix and (split or one.rollouts > one.prompts):
        layers = 1 if t.gradient_checkpointing else shape.layers
        size += 2 * one.rollouts * (one.prompt + one.completion) * shape.queries * compute * layers
    if split:
        size += one.prompt * shape.kv_values_per_token * compute * (2 if t.gradient_checkpointing else 1)
    return size
