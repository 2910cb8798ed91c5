"""What `generate` does in evaluations on a CPU: prompts forwarded some at a time, then one token of each row after the
other, by as few operations as it takes; rows that have ended leave the batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache

from eval.engines.decoding.decode import decode
from eval.engines.decoding.decode_step import ByGroup
from eval.engines.decoding.kv_cache import GrowingLayer

TOGETHER = 32  # prompts: the activations of more do not stay in a CPU's cache


def stepped(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    draw: Callable[[Tensor, Tensor], Tensor] | None,
    **kwargs: Any,
) -> Tensor:
    """Prompts (B, P), left-padded and of at least two tokens each, with their completions: (B, P + T).

    What `generate` calls instead of its own loop (its `custom_generate`), with prepared arguments. The model is one
    that `has_known_decoder`. `draw` and what is raised: as in `decode`.
    """
    length = input_ids.shape[1]
    out_BN = pad(input_ids, (0, generation_config.max_length - length), value=generation_config.pad_token_id)
    following = _prefill(model, input_ids, kwargs)
    return out_BN[:, : decode(following, out_BN, length, logits_processor, stopping_criteria, draw)]


def _prefill(model: Any, ids_BP: Tensor, kwargs: dict[str, Any]) -> ByGroup:
    """Forwards all but the last token of each prompt."""
    upto, position_BP = ids_BP.shape[1] - 1, kwargs["position_ids"]
    mask_BP, caches = kwargs["attention_mask"][:, :upto], []
    with _last_layer_cached_only(model.model.language_model.layers[-1]):
        for rows_C, pictures in _parts(model.config, ids_BP, kwargs):
            caches.append(DynamicCache(config=model.config.text_config))
            model(
                input_ids=ids_BP[rows_C, :upto],
                attention_mask=mask_BP[rows_C],
                position_ids=position_BP[:, rows_C, :upto],
                past_key_values=caches[-1],
                use_cache=True,
                logits_to_keep=1,
                **pictures,
            )
    cache = DynamicCache()
    for parts in zip(*(held.layers for held in caches), strict=True):
        cache.layers.append(GrowingLayer())
        cache.layers[-1].update(torch.cat([part.keys for part in parts]), torch.cat([part.values for part in parts]))
    return ByGroup(model, cache, mask_BP, position_BP[..., -1:], torch.arange(len(ids_BP)))


def _parts(config: Any, ids_BP: Tensor, kwargs: dict[str, Any]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Row numbers, TOGETHER at a time, and those rows' pictures."""
    parts = torch.arange(len(ids_BP)).split(TOGETHER)
    if (pixels := kwargs.get("pixel_values")) is None:
        yield from ((rows, {}) for rows in parts)
        return
    grid = kwargs["image_grid_thw"]
    patches_B = (ids_BP == config.image_token_id).sum(1) * config.vision_config.spatial_merge_size**2
    ends = patches_B.cumsum(0)[[int(rows[-1]) for rows in parts[:-1]]]
    images = torch.searchsorted(grid.prod(-1).cumsum(0), ends, right=True)
    for rows, pixels_C, grid_C in zip(parts, pixels.tensor_split(ends), grid.tensor_split(images), strict=True):
        yield rows, {"pixel_values": pixels_C, "image_grid_thw": grid_C} if len(grid_C) else {}


@contextmanager
def _last_layer_cached_only(layer: Any) -> Iterator[None]:
    """Of the last layer a prompt needs keys and values alone: what follows them is computed of the last token only."""
    parts = layer.self_attn.o_proj, layer.mlp
    hooks = [part.register_forward_pre_hook(lambda _, args: (args[0][:, -1:],)) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
