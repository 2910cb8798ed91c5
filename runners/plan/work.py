"""How much a step computes, and how long that takes under two stated assumptions.

A multiplication by a weight counts two operations; attention counts the scores and the weighted sum over the context
that a token sees. Norms, activations and softmax are left out, as torch's own counter does.
"""

from typing import NamedTuple

from methods import Method
from runners.plan.memory import keeps_logits, key_value_cache, prompt_patches
from runners.plan.model_shape import BYTES, ModelShape
from runners.plan.passes import (
    Forwarded,
    reading,
    rollouts_per_gpu,
    scored_at_once,
    scores_student,
    whole_step,
    whole_teacher,
    whole_update,
)
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


def forward_flops(shape: ModelShape, what: Forwarded, patches: int) -> Flops:
    """Of a pass up to the last hidden states, with `patches` patches in each picture, all of which see each other. A
    completion's tokens see the prompt and half of their own completion, on average."""
    s, patches_all, tokens = shape, what.pictures * patches, what.tokens
    seen = what.prompts * what.prompt**2 / 2 + what.scored * (what.prompt + what.completion / 2)
    weights = s.decoder_linear * tokens + (s.vision_linear + s.merger_linear / max(s.merge, 1)) * patches_all
    attention = s.layers * s.queries * seen + s.vision_layers * s.vision_hidden * patches * patches_all
    text_again = s.decoder_linear - s.layers * s.hidden * s.ffn
    vision_again = s.vision_linear - s.vision_hidden * (s.patch_values + s.vision_layers * s.vision_ffn)
    return Flops(2 * weights, 4 * attention, 2 * (text_again * tokens + vision_again * patches_all))


def work(settings: Settings, method: Method, shape: ModelShape, gpu: float, mfu: float, longer: int) -> list[Work]:
    """The parts of one step: a batch of rollouts and its updates, each prompt and completion at its limit.

    gpu: bytes of one GPU. mfu: the assumed share of PEAK that is reached. longer: tokens that a teacher's prompt has
    more than the student's, at most.
    """
    t, patches, local = settings.train, prompt_patches(settings, shape), rollouts_per_gpu(settings)
    head = 2.0 * shape.head  # of a token: one product of its state, or of its logits' gradient, with the head
    found = list[Work]()

    def add(what: str, formula: str, flops: float, seconds: float = 0.0) -> None:
        found.append(Work(what, formula, flops, max(flops / (t.processes * PEAK * mfu), seconds)))

    def forward(one: Forwarded) -> float:
        flops = forward_flops(shape, one, patches)
        return flops.weights + flops.attention

    def shown(one: Forwarded) -> str:
        return f"{one.rollouts:,} rollouts on {one.prompts:,} prompts"

    read = reading(settings).times(t.processes)
    often = "each once" if read.prompts < t.prompts * t.generations else "one for each rollout"
    add("read prompts", f"{read.prompts:,} prompts, {often}", forward(read))
    drawn = Forwarded(0, 0, t.prompts * t.generations, t.max_prompt_tokens, t.max_completion_tokens)
    # Token by token: each step reads all weights, and each token its own cache.
    cache = key_value_cache(settings, shape, gpu)
    at_once = min(local, cache.sequences)
    weights = local / max(at_once, 1) * shape.base * BYTES[settings.model.dtype]
    kept = local * (t.max_prompt_tokens + t.max_completion_tokens / 2) * cache.per_token
    words = f"{drawn.rollouts:,} x {t.max_completion_tokens:,} tokens, {at_once} rollouts at once on a GPU"
    seconds = t.max_completion_tokens * (weights + kept) / (BANDWIDTH * STREAM)
    add("decode", words, forward(drawn) + head * drawn.scored, seconds)
    if scores_student(settings, method):
        scored = whole_step(settings, scored_at_once(settings))
        words = f"{shown(scored)}: log-probabilities before the update"
        add("score, student", words, forward(scored) + head * scored.scored)
    asked = whole_teacher(settings, method, longer)
    words = shown(asked) + (f", told up to {longer:,} tokens more" if longer else "")
    if method.credit_uses_teacher:
        add("score, teacher", words, forward(asked) + head * asked.scored)
    if method.distils:
        add("teacher's states", words, forward(asked))
    student = whole_update(settings)
    # Products with the head: see runners/forward/chunked_head.py.
    gradients = 2 if shape.head_trained else 1  # of the hidden states, of the head
    products = 2 + gradients if method.distils else 0  # the logits of student and teacher
    if method.policy_gradient:
        products += gradients + (1 if keeps_logits(settings, shape) else 2)
    # A frozen weight needs no gradient of its own; an attention that keeps no scores forms them again on the way back.
    one, backward = forward_flops(shape, student, patches), 1 if settings.model.lora is not None else 2
    body = one.weights * (1 + backward) + one.attention * (1 + 2.5)
    body += one.again + one.attention if t.gradient_checkpointing else 0
    losses = {"policy gradient": method.policy_gradient, "divergence": method.distils}
    again = ", recomputed by checkpoints" if t.gradient_checkpointing else ""
    words = f"{shown(student)}, forwards and backwards{again}; {' and '.join(x for x in losses if losses[x])}"
    add("update", f"{words}: {products} products with the head", body + products * head * student.scored)
    return found
