"""The logits that follow each live row's last token, in two ways: through the model's own forward pass, the cached
prompts repeated for each row; or, in fewer operations, with the prompts' keys and values there once, however many rows
go on from them."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache

from eval.engines.decoding.decoder_layer import TokenLayer, rotary_factors

flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
STEPPED = "qwen3_vl"  # whose decoder layer is decoder_layer.TokenLayer
AHEAD = 64  # tokens whose rotary factors are computed at once


def has_known_decoder(model: Any, attention: str) -> bool:
    """Whether ByGroup may call the decoder's modules itself, with the tokens of the model's own pass. `attention`: the
    one that the model must have, transformers' name."""
    if model.config.model_type != STEPPED or model.device.type != "cpu":
        return False
    # In 16 bits the sum of two partial softmaxes is rounded otherwise than one. accelerate's autocast is around the
    # model's own forward; it leaves this name.
    if model.dtype not in (torch.float32, torch.float64) or hasattr(model, "_original_forward"):
        return False
    decoder = model.model.language_model
    known: bool = decoder.config._attn_implementation == attention and decoder.rotary_emb.rope_type == "default"
    return known


class ByRow:
    """`cache` holds every row's tokens but the last; mask (B, P) and positions (axes, B, 1) are those of that one."""

    def __init__(self, model: Any, cache: Cache, mask_BP: Tensor, position_B1: Tensor) -> None:
        self._model, self._cache, self._position_L1 = model, cache, position_B1
        self._mask_LN = None if mask_BP.all() else mask_BP  # none lets the model choose a kernel without

    def logits(self, ids_L1: Tensor) -> Tensor:
        """(L, V)"""
        logits_LV: Tensor = self._model(
            input_ids=ids_L1,
            attention_mask=self._mask_LN,
            position_ids=self._position_L1,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self._position_L1 = self._position_L1 + 1
        self._mask_LN = None if self._mask_LN is None else pad(self._mask_LN, (0, 1), value=1)
        return logits_LV

    def select(self, keep_L: Tensor) -> None:
        """Only these rows are left."""
        self._cache.batch_select_indices(keep_L)
        self._position_L1 = self._position_L1[..., keep_L, :]
        self._mask_LN = None if self._mask_LN is None else self._mask_LN[keep_L]


class ByGroup:
    """The same with `cache` holding each of G prompts once, left-padded as in `mask_GP`; `group_B`: each row's prompt.

    For Qwen3-VL on the CPU. A token attends to its prompt and to its own completion in two flash calls, merged by their
    log-sum-exps; where no two rows share a prompt (group_B counts up), to both as one, in two batched products: flash
    would take twice as long over a single query. Embedding, layers, norm and head are called one after another: the
    forward passes around them would make mask, rotary factors and outputs anew at each token.
    """

    def __init__(self, model: Any, cache: Cache, mask_GP: Tensor, position_B1: Tensor, group_B: Tensor) -> None:
        self._model, self._cache, self._group_L = model, cache, group_B
        alone = torch.equal(group_B, torch.arange(len(group_B), device=group_B.device))
        self._prompts = [None if alone else layer.hand_over() for layer in cache.layers]
        self._mask: Tensor | None = None  # (G, 1, 1, P), added to the scores of the prompts' tokens
        if not mask_GP.all():
            zeros_GP = torch.zeros_like(mask_GP, dtype=model.dtype)
            self._mask = zeros_GP.masked_fill(mask_GP == 0, -torch.inf)[:, None, None]
        self._layers = [TokenLayer(layer) for layer in model.model.language_model.layers]
        self._position_3L1, self._steps = position_B1[-3:], 0
        self._rotary: tuple[Tensor, Tensor]  # cos and sin of the next AHEAD tokens, (L, AHEAD, head size)
        self._row_GS: Tensor | None
        self._place_L: Tensor | None
        self._arrange()

    def logits(self, ids_L1: Tensor) -> Tensor:
        """(L, V)"""
        decoder = self._model.model.language_model
        hidden_LD = decoder.embed_tokens(ids_L1)[:, 0]
        step, self._steps = self._steps % AHEAD, self._steps + 1
        if step == 0:
            next_A = torch.arange(AHEAD, device=ids_L1.device)
            self._rotary = rotary_factors(decoder, hidden_LD, self._position_3L1 + next_A)
            self._position_3L1 = self._position_3L1 + AHEAD
        cos_L1d, sin_L1d = (x.narrow(1, step, 1) for x in self._rotary)
        for layer, held, prompt in zip(self._layers, self._cache.layers, self._prompts, strict=True):
            attend = partial(self._attend_alone, held) if prompt is None else partial(self._attend, held, prompt)
            hidden_LD = layer(hidden_LD, cos_L1d, sin_L1d, attend)
        logits_LV: Tensor = self._model.lm_head(decoder.norm(hidden_LD))
        return logits_LV

    def select(self, keep_L: Tensor) -> None:
        """Only these rows are left, and the prompts that they need."""
        self._cache.batch_select_indices(keep_L)
        self._position_3L1 = self._position_3L1[:, keep_L]
        self._rotary = (self._rotary[0][keep_L], self._rotary[1][keep_L])
        present_G, self._group_L = self._group_L[keep_L].unique(return_inverse=True)
        if len(present_G) < self._shape[0]:
            self._prompts = [held and (held[0][present_G], held[1][present_G]) for held in self._prompts]
            self._mask = None if self._mask is None else self._mask[present_G]
        self._arrange()

    def _arrange(self) -> None:
        """Where the rows stand in one (G, S), S being the most rows of a prompt: the row of each place, any one where a
        prompt has fewer, and the place of each row. Both None where the rows come in just that order."""
        order_L = self._group_L.argsort(stable=True)
        number_L = torch.arange(len(order_L), device=order_L.device)
        counts_G = self._group_L.bincount()
        self._shape = len(counts_G), int(counts_G.max())
        group_L = self._group_L[order_L]
        place_L = torch.empty_like(order_L)
        place_L[order_L] = group_L * self._shape[1] + number_L - (counts_G.cumsum(0) - counts_G)[group_L]
        row_GS = order_L.new_zeros(self._shape).flatten()
        row_GS[place_L] = number_L
        plain = torch.equal(row_GS, number_L)
        self._row_GS, self._place_L = (None, None) if plain else (row_GS, place_L)

    def _attend_alone(self, held: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As `_attend`, where `held` has the prompts as well."""
        keys, values = (x.flatten(0, 1) for x in held.update(key, value))  # (L * kv heads, tokens, d)
        query = query.reshape(len(keys), -1, query.shape[-1]) * query.shape[-1] ** -0.5
        scores = torch.bmm(query, keys.transpose(1, 2)).unflatten(0, key.shape[:2])
        if self._mask is not None:
            scores[..., : self._mask.shape[-1]] += self._mask
        return torch.bmm(scores.softmax(-1).flatten(0, 1), values).view(len(key), -1, query.shape[-1])

    def _attend(self, held: Any, prompt: tuple[Tensor, Tensor], query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Query (L, heads, d), the token's key and value (L, kv heads, 1, d) -> (L, heads, d)."""
        keys, values = held.update(key, value)
        (L, heads, d), kv, (G, S) = query.shape, key.shape[1], self._shape
        repeat = heads // kv
        on_own, lse_own = flash(query.view(L, kv, repeat, d), keys, values, 0.0, False)
        query = query if self._row_GS is None else query.index_select(0, self._row_GS)
        query = query.reshape(G, S, kv, repeat, d).transpose(1, 2).reshape(G, kv, S * repeat, d)
        on_prompt, lse_prompt = flash(query, *prompt, 0.0, False, attn_mask=self._mask)
        on_prompt = on_prompt.reshape(G, kv, S, repeat, d).transpose(1, 2).reshape(-1, kv, repeat, d)
        lse_prompt = lse_prompt.reshape(G, kv, S, repeat).transpose(1, 2).reshape(-1, kv, repeat)
        if self._place_L is not None:
            on_prompt, lse_prompt = (x.index_select(0, self._place_L) for x in (on_prompt, lse_prompt))
        share = (lse_prompt - lse_own).sigmoid()[..., None].to(on_own.dtype)
        return torch.lerp(on_own, on_prompt, share).view(L, heads, d)
