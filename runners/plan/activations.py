"""What a forward pass with gradient keeps for the backward pass, in bytes."""

from runners.plan.model_shape import BYTES, ModelShape
from runners.plan.passes import Forwarded, parts
from runners.run.config import Settings


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


def at_work_bytes(settings: Settings, shape: ModelShape, one: Forwarded) -> int:
    """What the backward pass of `one` micro-batch adds to that: gradients inside a layer, and what a checkpointed layer
    computes anew."""
    compute = BYTES[settings.model.dtype]
    gradients = (2 * shape.hidden + 3 * shape.ffn) * compute
    anew = layer_bytes(settings, shape) if settings.train.gradient_checkpointing else 0
    return one.tokens * (gradients + anew)


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
