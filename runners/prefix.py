"""Attention of packed groups: `prompt | completion 1 | … | completion G` in one row, the prompt there once.

Or the completions alone, after a prompt that an earlier pass has forwarded. A completion's tokens attend to their
group's prompt and to what precedes them in their own completion. Written as a registered attention, with the layout
handed through the model's keyword arguments: gradient checkpointing then recomputes with the very layout of the forward
pass. Without a layout it is transformers' own `sdpa`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "shared_prefix"
# Flash attention with the log-sum-exp as a second result, which merging two partial softmaxes needs.
flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Segment:
    """One group in the packed row: where it starts, the prompt's length P, and the completions' lengths.

    Completions are unpacked to (G, C) for attention and packed again: `unpack_GC` and `pack_N` index between the two,
    None where all have the length C.
    """

    start: int
    prompt: int
    lengths: tuple[int, ...]
    unpack_GC: Tensor | None
    pack_N: Tensor | None

    @classmethod
    def of(cls, start: int, prompt: int, lengths: list[int], device: torch.device) -> "Segment":
        if len(set(lengths)) <= 1:
            return cls(start, prompt, tuple(lengths), None, None)
        longest = max(lengths)
        steps_C, lengths_G = torch.arange(longest), torch.tensor(lengths)
        first_G = lengths_G.cumsum(0) - lengths_G
        real_GC = steps_C[None] < lengths_G[:, None]
        unpack_GC = torch.where(real_GC, first_G[:, None] + steps_C[None], 0)
        return cls(
            start, prompt, tuple(lengths), unpack_GC.flatten().to(device), real_GC.flatten().nonzero()[:, 0].to(device)
        )

    @property
    def end(self) -> int:
        return self.start + self.prompt + sum(self.lengths)

    @property
    def shape(self) -> tuple[int, int]:
        """G and C."""
        return len(self.lengths), max(self.lengths)


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
    attend: Callable[..., Tensor] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' interface: query (1, heads, L, d), key and value (1, kv heads, L, d); (1, L, heads, d).

    keep_keys collects keys and values. prompt_keys are those of the one group's prompt, which an earlier pass has
    forwarded: the row then holds completions alone. attend is what takes the place of all this while sampling.
    """
    if attend is not None:
        return attend(module, query, key, value, scaling), None
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
        return _after_prompt(segment, query, key, value, *prompt_keys[module.layer_idx], scale).transpose(1, 2), None
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
    out = _after_prompt(segment, query, key, value, key_P, value_P, scale)
    return torch.cat([_causal(query_P, key_P, value_P, scale), out], 2)


def _after_prompt(
    segment: Segment, query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor, scale: float
) -> Tensor:
    """(1, heads, N, d) of the completions' N tokens, which attend to the prompt and to their own."""
    own_query, own_key, own_value = (_unpacked(x[0], segment) for x in (query, key, value))
    attend = _Merged.apply if query.device.type == "cpu" else _expanded
    return _packed(attend(own_query, own_key, own_value, key_P, value_P, scale), segment)[None]


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    grouped = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)


def _unpacked(x: Tensor, segment: Segment) -> Tensor:
    """(h, N, d) -> (G, h, C, d), padded with the group's first token."""
    heads, _, size = x.shape
    x = x if segment.unpack_GC is None else x.index_select(1, segment.unpack_GC)
    return x.reshape(heads, *segment.shape, size).transpose(0, 1)


def _packed(x: Tensor, segment: Segment) -> Tensor:
    """(G, h, C, d) -> (h, N, d)."""
    flat = x.transpose(0, 1).flatten(1, 2)
    return flat if segment.pack_N is None else flat.index_select(1, segment.pack_N)


def _expanded(query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor, scale: float) -> Tensor:
    """Completion queries (G, h, C, d) over prompt and own keys, the prompt's repeated G times: any device."""
    G, _, C, _ = query.shape
    P = key_P.shape[2]
    ones = torch.ones(C, P + C, dtype=torch.bool, device=query.device)
    # Repeated for all heads: with a mask and grouped queries CUDA has only the kernel that writes all scores out.
    repeat = query.shape[1] // key.shape[1]
    keys = torch.cat([key_P.expand(G, -1, -1, -1), key], 2).repeat_interleave(repeat, 1)
    values = torch.cat([value_P.expand(G, -1, -1, -1), value], 2).repeat_interleave(repeat, 1)
    return scaled_dot_product_attention(query, keys, values, attn_mask=ones.tril(P), scale=scale)


class _Merged(torch.autograd.Function):
    """The same without repeating the prompt's keys: one flash call of all G x C queries on the prompt, one causal call
    on the own tokens, merged by their log-sum-exps. Its backward gives both partial calls the global output and
    log-sum-exp, as ring attention does."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor, scale: float
    ) -> Tensor:
        kv, repeat = key.shape[1], query.shape[1] // key.shape[1]
        on_prompt, lse_prompt = flash(_by_kv_head(query, kv), key_P, value_P, 0.0, False, scale=scale)
        on_prompt, lse_prompt = _by_row(on_prompt, query), _by_row(lse_prompt[..., None], query)
        on_own, lse_own = flash(
            query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1), 0.0, True, scale=scale
        )
        lse = torch.logaddexp(lse_prompt, lse_own[..., None])
        out = on_prompt * (lse_prompt - lse).exp().to(on_prompt.dtype)
        out = out + on_own * (lse_own[..., None] - lse).exp().to(on_own.dtype)
        ctx.save_for_backward(query, key, value, key_P, value_P, out, lse[..., 0])
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, key_P, value_P, out, lse = ctx.saved_tensors
        kv, repeat = key.shape[1], query.shape[1] // key.shape[1]
        grad_prompt, grad_key_P, grad_value_P = _flash_backward(
            _by_kv_head(grad, kv), _by_kv_head(query, kv), key_P, value_P, _by_kv_head(out, kv),
            _by_kv_head(lse[..., None], kv)[..., 0], 0.0, False, scale=ctx.scale,
        )  # fmt: skip
        grad_own, grad_key, grad_value = _flash_backward(
            grad.contiguous(), query, key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1), out, lse,
            0.0, True, scale=ctx.scale,
        )  # fmt: skip
        grad_key, grad_value = (g.unflatten(1, (kv, repeat)).sum(2) for g in (grad_key, grad_value))
        return _by_row(grad_prompt, query) + grad_own, grad_key, grad_value, grad_key_P, grad_value_P, None


def _by_kv_head(x: Tensor, kv: int) -> Tensor:
    """(G, h, C, d) -> (1, kv, h/kv * G * C, d): all queries that read one key head as one row."""
    return x.unflatten(1, (kv, -1)).permute(1, 2, 0, 3, 4).flatten(1, 3)[None]


def _by_row(x: Tensor, like: Tensor) -> Tensor:
    """The way back, to the shape of `like` but for the last dimension."""
    G, heads, C, _ = like.shape
    kv = x.shape[1]
    return x[0].reshape(kv, heads // kv, G, C, -1).permute(2, 0, 1, 3, 4).reshape(G, heads, C, -1)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
