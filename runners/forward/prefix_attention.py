"""Attention of packed groups: `prompt | completion 1 | … | completion G` in one row, the prompt there once.

Or the completions alone, after a prompt that an earlier pass has forwarded. A completion's tokens attend to their
group's prompt and to what precedes them in their own completion. Written as a registered attention, with the layout
handed through the model's keyword arguments: gradient checkpointing then recomputes with the very layout of the forward
pass. Without a layout it is transformers' own `sdpa`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from runners.forward.group_attention import Segment, group_attention

NAME = "shared_prefix"

Layout = tuple[Segment, ...]
Keys = Mapping[int, tuple[Tensor, Tensor]]  # of one prompt, by layer: keys and values, (1, kv heads, P, d) each


class KeptKeys:
    """Collects the keys and values of one forward pass. Not those of a second one: gradient checkpointing runs each
    layer again on the way back, and what it forms there belongs to another graph."""

    def __init__(self) -> None:
        self._open, self._found = True, dict[int, tuple[Tensor, Tensor]]()

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        if self._open:
            self._found[layer] = key, value

    def take(self) -> Keys:
        """What was collected. Nothing stays here: the graph of the pass holds this object, and would hold itself."""
        self._open, found, self._found = False, self._found, {}
        return found


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared_prefix: Layout | None = None,
    keep_keys: KeptKeys | None = None,
    prompt_keys: Keys | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' interface: query (1, heads, L, d), key and value (1, kv heads, L, d); (1, L, heads, d).

    keep_keys collects keys and values. prompt_keys are those of the one group's prompt, which an earlier pass has
    forwarded: the row then holds completions alone.
    """
    if shared_prefix is None:
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
        return out
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if keep_keys is not None:
        keep_keys.keep(module.layer_idx, key, value)
    if prompt_keys is not None:
        (segment,) = shared_prefix
        of_prompt = prompt_keys[module.layer_idx]
        return group_attention(segment, query, key, value, *of_prompt, scale).transpose(1, 2), None
    parts = []
    for segment in shared_prefix:
        own = slice(segment.start, segment.end)
        parts.append(_segment(segment, query[:, :, own], key[:, :, own], value[:, :, own], scale))
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def _segment(segment: Segment, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """(1, heads, L, d) of one group."""
    if len(segment.lengths) == 1 or not max(segment.lengths):
        return _causal(query, key, value, scale)
    (query_P, query), (key_P, key), (value_P, value) = (
        (x[:, :, : segment.prompt], x[:, :, segment.prompt :]) for x in (query, key, value)
    )
    out = group_attention(segment, query, key, value, key_P, value_P, scale)
    return torch.cat([_causal(query_P, key_P, value_P, scale), out], 2)


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    grouped = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
