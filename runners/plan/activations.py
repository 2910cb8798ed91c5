"""What a forward pass with gradient keeps for the backward pass, in bytes."""

from runners.plan.model_shape import BYTES, ModelShape
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


def vision_bytes(settings: Settings, shape: ModelShape) -> tuple[int, int]:
    """What one layer of the vision tower and what the mergers save for the backward pass, bytes per patch."""
    v, compute = shape.vision_hidden, BYTES[settings.model.dtype]
    return compute * (11 * v + 2 * shape.vision_ffn), compute * (3 * v * shape.mergers + shape.patch_values)


def kept_bytes(settings: Settings, shape: ModelShape, tokens: int, patches: int) -> tuple[int, int]:
    """What a forward with gradient keeps of its tokens, and of its patches, until the backward pass."""
    compute = BYTES[settings.model.dtype]
    layer, (vision_layer, merging) = layer_bytes(settings, shape), vision_bytes(settings, shape)
    if settings.train.gradient_checkpointing:  # the inputs of the layers
        layer, vision_layer = shape.hidden * compute, shape.vision_hidden * compute
    last_norm = shape.hidden * (8 if settings.model.dtype == "float32" else 6)
    return tokens * (shape.layers * layer + last_norm), patches * (shape.vision_layers * vision_layer + merging)
