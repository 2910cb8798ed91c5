"""A decoder layer of Qwen3-VL for one new token of each row, in fewer operations than its own forward pass: on a CPU
their number is what a token costs, however small they are."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

SMALL = 1 << 20  # weights; reading more than these takes longer than the calls that are saved


class TokenLayer:
    """Calls the layer's projections, so that adapters in their places are at work; norms and rotation are one operation
    for queries and keys together."""

    def __init__(self, layer: Any) -> None:
        self._layer, attention = layer, layer.self_attn
        heads, kv = attention.config.num_attention_heads, attention.config.num_key_value_heads
        self._heads, self._eps = heads, attention.q_norm.variance_epsilon
        weights = attention.q_norm.weight.expand(heads, -1), attention.k_norm.weight.expand(kv, -1)
        self._norm_Hd = torch.cat(weights)
        self._inward = joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self._upward = joined(layer.mlp.gate_proj, layer.mlp.up_proj)

    def __call__(self, hidden_LD: Tensor, cos_L1d: Tensor, sin_L1d: Tensor, attend: Callable[..., Tensor]) -> Tensor:
        """(L, D). cos, sin: as `rotary_factors` gives them. attend: (L, heads, d) from queries of this shape, and keys
        and values (L, kv heads, 1, d)."""
        layer, attention, L = self._layer, self._layer.self_attn, len(hidden_LD)
        three_LHd = self._inward(_normed(hidden_LD, layer.input_layernorm)).view(L, -1, attention.head_dim)
        turned, size = len(self._norm_Hd), attention.head_dim
        both_LHd, value_LHd = three_LHd[:, :turned], three_LHd[:, turned:]
        both_LHd = rms_norm(both_LHd, (size,), None, self._eps) * self._norm_Hd
        both_LHd = torch.addcmul(both_LHd * cos_L1d, both_LHd.roll(size // 2, -1), sin_L1d)
        query_LHd, key_LHd = both_LHd[:, : self._heads], both_LHd[:, self._heads :]
        out_LHd = attend(query_LHd, key_LHd[:, :, None], value_LHd[:, :, None])
        hidden_LD = hidden_LD + attention.o_proj(out_LHd.view(L, -1))
        gate_LF, up_LF = self._upward(_normed(hidden_LD, layer.post_attention_layernorm)).chunk(2, -1)
        out_LD: Tensor = hidden_LD + layer.mlp.down_proj(layer.mlp.act_fn(gate_LF) * up_LF)
        return out_LD


def joined(*projections: Any) -> Callable[[Tensor], Tensor]:
    """Their results side by side; as one product where they are plain and small, which copies their weights."""
    plain = all(type(p) is nn.Linear and p.bias is None for p in projections)
    if plain and sum(p.weight.numel() for p in projections) <= SMALL:
        return partial(linear, weight=torch.cat([p.weight for p in projections]))
    return lambda x: torch.cat([p(x) for p in projections], -1)


def rotary_factors(decoder: Any, hidden: Tensor, position_3LA: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin (L, A, d) of the positions, the sine with the sign that halves which change places get."""
    cos_LAd, sin_LAd = decoder.rotary_emb(hidden, position_3LA)
    first, second = sin_LAd.chunk(2, -1)
    return cos_LAd, torch.cat([-first, second], -1)


def _normed(x_LD: Tensor, norm: Any) -> Tensor:
    return rms_norm(x_LD, norm.weight.shape, norm.weight, norm.variance_epsilon)
