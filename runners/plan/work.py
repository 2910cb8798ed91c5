"""How much a step computes, and how long that takes under two stated assumptions.

A multiplication by a weight counts two operations; attention counts the scores and the weighted sum over the context
that a token sees. Norms, activations and softmax are left out, as torch's own counter does.
"""

from typing import NamedTuple

from methods import Method
from runners.plan.memory import keeps_logits, key_value_cache, prompt_patches, rollouts_per_gpu
from runners.plan.model_shape import BYTES, ModelShape
from runners.plan.passes import Pass, reading, scores_student, scoring_passes, student_passes, teacher_passes
from runners.run.config import Settings

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
    """Operations with weights, and of attention, which multiplies activations by activations.

    again: those with weights that checkpoints compute a second time. A layer's last product is not: the backward pass
    needs what goes into it. What is in no layer is not either.
    """

    weights: float
    attention: float
    again: float

    @property
    def total(self) -> float:
        return self.weights + self.attention

    def times(self, n: int) -> "Flops":
        return Flops(n * self.weights, n * self.attention, n * self.again)


def vision_flops(shape: ModelShape, patches: int) -> Flops:
    """Of one picture with `patches` patches, all of which see each other."""
    weights = 2 * shape.vision_linear * patches + 2 * shape.merger_linear * patches / shape.merge
    outside = shape.vision_hidden * (shape.patch_values + shape.vision_layers * shape.vision_ffn)
    attention = 4 * shape.vision_layers * shape.vision_hidden * patches**2
    return Flops(weights, attention, 2 * (shape.vision_linear - outside) * patches)


def text_flops(shape: ModelShape, tokens: int, context: float) -> Flops:
    """Of the decoder's layers: `tokens` tokens that see `context` tokens each, on average."""
    last = shape.layers * shape.hidden * shape.ffn
    attention = 4 * shape.layers * shape.queries * context * tokens
    return Flops(2 * shape.decoder_linear * tokens, attention, 2 * (shape.decoder_linear - last) * tokens)


def head_flops(shape: ModelShape, tokens: int) -> float:
    """One product of `tokens` hidden states, or of gradients of their logits, with the head or each other."""
    return 2.0 * shape.head * tokens


def forward_flops(shape: ModelShape, what: Pass, patches: int) -> Flops:
    """Of a pass up to the last hidden states, with `patches` patches in each picture. A completion's tokens see the
    prompt and half of their own completion, on average."""
    parts = [
        vision_flops(shape, patches).times(what.pictures),
        text_flops(shape, what.prompts * what.prompt, what.prompt / 2),
        text_flops(shape, what.scored, what.prompt + what.completion / 2),
    ]
    return Flops(*(sum(column) for column in zip(*parts, strict=True)))


def update_flops(settings: Settings, forward: Flops) -> float:
    """Forward and backward, but for the head. A frozen weight needs no gradient of its own, and an attention that keeps
    no scores forms them again on the way back."""
    backward = 1 if settings.model.lora is not None else 2
    flops = forward.weights * (1 + backward) + forward.attention * (1 + 2.5)
    return flops + (forward.again + forward.attention if settings.train.gradient_checkpointing else 0)


def head_products(settings: Settings, method: Method, shape: ModelShape) -> int:
    """Products with the head, of `head_flops` each, that an update makes: see runners/forward/chunked_head.py."""
    gradients = 2 if shape.head_trained else 1  # of the hidden states, of the head
    divergence = 2 + gradients if method.distils else 0  # the logits of student and teacher
    logits = 1 if keeps_logits(settings, shape) else 2
    return divergence + (logits + gradients if method.policy_gradient else 0)


def total(passes: list[Pass]) -> Pass:
    return passes[0]._replace(
        prompts=sum(p.prompts for p in passes),
        pictures=sum(p.pictures for p in passes),
        rollouts=sum(p.rollouts for p in passes),
    )


def work(settings: Settings, method: Method, shape: ModelShape, gpu: float, mfu: float, told: int) -> list[Work]:
    """The parts of one step: a batch of rollouts and its updates, each prompt and completion at its limit.

    gpu: bytes of one GPU. mfu: the assumed share of PEAK that is reached. told: tokens that a teacher's prompt has more
    than the student's, at most.
    """
    t, patches = settings.train, prompt_patches(settings, shape)
    student = total(student_passes(settings))
    rate = t.processes * PEAK * mfu
    parts: list[Work] = []

    def add(what: str, formula: str, flops: float) -> None:
        parts.append(Work(what, formula, flops, flops / rate))

    read = reading(settings)
    often = "each once" if read.prompts < rollouts_per_gpu(settings) else "one for each rollout"
    everywhere = read._replace(prompts=read.prompts * t.processes, pictures=read.pictures * t.processes)
    add("read prompts", f"{everywhere.prompts:,} prompts, {often}", forward_flops(shape, everywhere, patches).total)
    parts.append(_decoding(settings, shape, gpu, rate))
    if scores_student(settings, method):
        scored = total(scoring_passes(settings))
        flops = forward_flops(shape, scored, patches).total + head_flops(shape, scored.scored)
        add("score, student", f"{_shown(scored)}: log-probabilities before the update", flops)
    if method.credit_uses_teacher or method.distils:
        asked = total(teacher_passes(settings, method, told))
        flops = forward_flops(shape, asked, patches).total
        extra = f", told up to {told:,} tokens more" if told else ""
        if method.credit_uses_teacher:
            add("score, teacher", f"{_shown(asked)}{extra}", flops + head_flops(shape, asked.scored))
        if method.distils:
            add("teacher's states", f"{_shown(asked)}{extra}", flops)
    products = head_products(settings, method, shape)
    body, head = update_flops(settings, forward_flops(shape, student, patches)), head_flops(shape, student.scored)
    add("update", _update_words(settings, method, student, products), body + products * head)
    return parts


def _shown(what: Pass) -> str:
    return f"{what.rollouts:,} rollouts on {what.prompts:,} prompts"


def _update_words(settings: Settings, method: Method, student: Pass, products: int) -> str:
    losses = {"policy gradient": method.policy_gradient, "divergence": method.distils}
    again = ", recomputed by checkpoints" if settings.train.gradient_checkpointing else ""
    made = " and ".join(name for name, there in losses.items() if there)
    return f"{_shown(student)}, forwards and backwards{again}; {made}: {products} products with the head"


def _decoding(settings: Settings, shape: ModelShape, gpu: float, rate: float) -> Work:
    """Token by token: bound by memory, since each step reads all weights, and each token its own cache."""
    t = settings.train
    rollouts, local = t.prompts * t.generations, rollouts_per_gpu(settings)
    context = t.max_prompt_tokens + t.max_completion_tokens / 2
    tokens = rollouts * t.max_completion_tokens
    flops = text_flops(shape, tokens, context).total + head_flops(shape, tokens)
    cache = key_value_cache(settings, shape, gpu)
    at_once = min(local, cache.sequences)
    waves = local / max(at_once, 1)
    weights = waves * t.max_completion_tokens * shape.base * BYTES[settings.model.dtype]
    moved = weights + local * t.max_completion_tokens * context * cache.per_token
    words = f"{rollouts:,} x {t.max_completion_tokens:,} tokens, {at_once} rollouts at once on a GPU"
    return Work("decode", words, flops, max(flops / rate, moved / (BANDWIDTH * STREAM)))
