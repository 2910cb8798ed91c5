"""How much a step computes, and how long that takes under two stated assumptions.

A multiplication by a weight counts two operations; attention counts the scores and the weighted sum over the context
that a token sees. Norms, activations and softmax are left out, as torch's own counter does.
"""

from typing import NamedTuple

from methods import Method
from runners.config import Settings
from runners.plan_memory import BYTES, key_value_cache, prompt_patches, rollouts_per_gpu
from runners.plan_model import ModelShape

PEAK = 989e12  # dense bfloat16 operations per second of an H100 or H200 (NVIDIA's data sheets)
BANDWIDTH = 4.8e12  # bytes per second of an H200's memory (NVIDIA's data sheet)
STREAM = 0.7  # assumed share of it that decoding reaches


class Work(NamedTuple):
    """One part of a step: operations over all GPUs, seconds with every GPU at work, and what is done, in words."""

    what: str
    formula: str
    flops: float
    seconds: float


class Flops(NamedTuple):
    """Operations with weights, and of attention, which multiplies activations by activations."""

    weights: float
    attention: float

    @property
    def total(self) -> float:
        return self.weights + self.attention


def vision_flops(shape: ModelShape, patches: int) -> Flops:
    """Of one picture with `patches` patches, all of which see each other."""
    weights = 2 * shape.vision_linear * patches + 2 * shape.merger_linear * patches / shape.merge
    return Flops(weights, 4 * shape.vision_layers * shape.vision_hidden * patches**2)


def text_flops(shape: ModelShape, tokens: int, context: float, scored: int) -> Flops:
    """Of the decoder: `tokens` tokens that see `context` tokens each, on average, and the head on `scored` of them."""
    weights = 2 * shape.decoder_linear * tokens + 2 * shape.head * scored
    return Flops(weights, 4 * shape.layers * shape.queries * context * tokens)


def rollout_flops(shape: ModelShape, prompt: int, completion: int, patches: int) -> Flops:
    """One forward of a rollout: picture, tokens (which see half the row on average), the head on the completion."""
    row = prompt + completion
    vision, text = vision_flops(shape, patches), text_flops(shape, row, row / 2, completion)
    return Flops(vision.weights + text.weights, vision.attention + text.attention)


def update_flops(settings: Settings, forward: Flops) -> float:
    """Forward and backward. A frozen weight needs no gradient of its own; checkpoints compute the forward twice."""
    again = 1 if settings.train.gradient_checkpointing else 0
    backward = 1 if settings.model.lora is not None else 2
    return forward.weights * (1 + backward + again) + forward.attention * (1 + 2 + again)


def work(settings: Settings, method: Method, shape: ModelShape, gpu: float, mfu: float, told: int) -> list[Work]:
    """The parts of one step: a batch of rollouts and its updates, each prompt and completion at its limit.

    gpu: bytes of one GPU. mfu: the assumed share of PEAK that is reached. told: tokens that a teacher's prompt has more
    than the student's, at most.
    """
    t = settings.train
    rollouts, prompt, completion = t.prompts * t.generations, t.max_prompt_tokens, t.max_completion_tokens
    patches = prompt_patches(settings, shape)
    row = rollout_flops(shape, prompt, completion, patches)
    update = update_flops(settings, row)
    rate = t.processes * PEAK * mfu
    parts: list[Work] = []

    def add(what: str, formula: str, flops: float) -> None:
        parts.append(Work(what, formula, flops, flops / rate))

    read = t.prompts if t.vllm else rollouts
    once = f"{read:,} prompts, each once" if t.vllm else f"{read:,} prompts, one for each rollout"
    add("read prompts", once, read * rollout_flops(shape, prompt, 0, patches).total)
    parts.append(_decoding(settings, shape, gpu, rate))
    if t.vllm or t.updates > 1 or method.credit_uses_teacher:
        add("score, student", f"{rollouts:,} forwards: log-probabilities before the update", rollouts * row.total)
    if method.teacher.kind != "none":
        told_row = rollout_flops(shape, prompt + told, completion, patches).total
        extra = f", told up to {told:,} tokens more" if told else ""
        add("score, teacher", f"{rollouts:,} forwards{extra}", rollouts * told_row)
    times = f"{rollouts:,} forwards and backwards, x{update / row.total:.2g} a forward"
    again = ", recomputed by checkpoints" if t.gradient_checkpointing else ""
    if method.policy_gradient:
        add("update, reward", times + again, rollouts * update)
    if method.distils:
        add("update, divergence", times + again, rollouts * update)
    return parts


def _decoding(settings: Settings, shape: ModelShape, gpu: float, rate: float) -> Work:
    """Token by token: bound by memory, since each step reads all weights, and each token its own cache."""
    t = settings.train
    rollouts, local = t.prompts * t.generations, rollouts_per_gpu(settings)
    context = t.max_prompt_tokens + t.max_completion_tokens / 2
    flops = rollouts * text_flops(shape, t.max_completion_tokens, context, t.max_completion_tokens).total
    cache = key_value_cache(settings, shape, gpu)
    at_once = min(local, cache.sequences)
    waves = local / max(at_once, 1)
    weights = waves * t.max_completion_tokens * shape.base * BYTES[settings.model.dtype]
    moved = weights + local * t.max_completion_tokens * context * cache.per_token
    words = f"{rollouts:,} x {t.max_completion_tokens:,} tokens, {at_once} rollouts at once on a GPU"
    return Work("decode", words, flops, max(flops / rate, moved / (BANDWIDTH * STREAM)))
