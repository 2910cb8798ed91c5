"""Rollouts with transformers' engine: a prompt and its pictures are forwarded once and its rollouts start from copies
of that cache; rows that have ended leave the batch. The tokens are those that `model.generate` draws from the same
random state.
"""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

from runners.rows import PICTURES, Group, Rows, groups_of

PREFILL_ONLY = (*PICTURES, "mm_token_type_ids")
ROOM = 64  # tokens by which a full cache grows
ENDED = 1 / 8  # the share of ended rows at which they leave: dropping them copies the cache


def share_prompts(model: Any) -> None:
    """Let `model.generate` sample by `sample` below. `model`: the causal model itself, not a PEFT or other wrapper.

    Everything around it stays transformers': arguments, logits processors, stopping criteria. One sequence a row comes
    back (no beams, no streamer, no `return_dict_in_generate`).
    """
    model.generate = partial(model.generate, custom_generate=sample)


def sample(
    model: Any, input_ids: Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **kwargs: Any
) -> Tensor:
    """Prompts (B, P), left-padded and of at least two tokens each, with their completions: (B, P + T).

    What `generate` calls instead of its own loop (its `custom_generate`), with prepared arguments. Consumes the global
    random stream as that loop does: B x V exponential draws a token, however many rows are left.

    Raises RuntimeError where the model keeps no cache though it should, as under gradient checkpointing.
    """
    arguments = {
        "logits_processor": logits_processor,
        "stopping_criteria": stopping_criteria,
        "generation_config": generation_config,
    }
    if not kwargs["use_cache"]:
        out: Tensor = type(model)._sample(model, input_ids, **arguments, **kwargs)
        return out
    _prefill(model, input_ids, kwargs)
    kwargs = {k: v for k, v in kwargs.items() if k not in PREFILL_ONLY}
    if _in_step(model):
        out = type(model)._sample(model, input_ids, **arguments, synced_gpus=True, **kwargs)
        return out
    return _decode(model, input_ids, **arguments, **kwargs)


def _in_step(model: Any) -> bool:
    """Whether processes share the weights, and so must forward equally often: until the last of them has ended."""
    alone = not dist.is_initialized() or dist.get_world_size() == 1
    return not alone and any(isinstance(module, FSDPModule) for module in model.modules())


def _prefill(model: Any, ids_BP: Tensor, kwargs: dict[str, Any]) -> None:
    """Fill the cache with all but the last token of each row's prompt, each distinct prompt forwarded once."""
    cache, upto = kwargs["past_key_values"], ids_BP.shape[1] - 1
    cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    groups, pictures = _groups(model, ids_BP, kwargs)
    first = torch.tensor([group.rows[0] for group in groups], device=ids_BP.device)
    model(
        input_ids=ids_BP[first, :upto],
        attention_mask=kwargs["attention_mask"][first, :upto],
        position_ids=kwargs["position_ids"][..., first, :upto],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **pictures,
    )
    if cache.get_seq_length() != upto:
        raise RuntimeError("the model keeps no cache: switch gradient checkpointing off, or the model to eval")
    group_B = torch.empty(len(ids_BP), dtype=torch.long)
    for number, group in enumerate(groups):
        group_B[group.rows] = number
    cache.batch_select_indices(group_B.to(ids_BP.device))


def _groups(model: Any, ids_BP: Tensor, kwargs: dict[str, Any]) -> tuple[list[Group], dict[str, Tensor]]:
    """The distinct prompts and the pictures of a batch that has each of them once."""
    pictures, images_B = {k: kwargs[k] for k in PICTURES if kwargs.get(k) is not None}, []
    if pictures:
        tokens_N = pictures["image_grid_thw"].prod(-1) // model.config.vision_config.spatial_merge_size**2
        tokens_B = (ids_BP == model.config.image_token_id).sum(1)
        until_B = torch.searchsorted(tokens_N.cumsum(0), tokens_B.cumsum(0), right=True)
        images_B = until_B.diff(prepend=until_B.new_zeros(1)).tolist()
    nothing = ids_BP[:, :0]
    groups, images = groups_of(Rows(ids_BP, kwargs["attention_mask"], nothing, nothing, None, pictures, images_B))
    own = [images[i] for group in groups for i in group.images]
    if not own:
        return groups, {}
    pixels, grids = zip(*own, strict=True)
    return groups, {"pixel_values": torch.cat(pixels), "image_grid_thw": torch.stack(grids)}


class _GrowingLayer(DynamicLayer):
    """DynamicLayer copies all it holds at every token; this one has room for the next ones."""

    keys: Tensor
    values: Tensor
    room: Tensor | None = None  # (2, B, heads, tokens, head size): keys and values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        held, new = self.get_seq_length(), key_states.shape[-2]
        if not held:
            first: tuple[Tensor, Tensor] = super().update(key_states, value_states)
            return first
        if self.room is None or held + new > self.room.shape[-2]:
            batch, heads, _, size = key_states.shape
            self.room = key_states.new_empty(2, batch, heads, held + max(new, ROOM), size)
            self.room[0, :, :, :held], self.room[1, :, :, :held] = self.keys, self.values
        self.room[0, :, :, held : held + new], self.room[1, :, :, held : held + new] = key_states, value_states
        self.keys, self.values = self.room[:, :, :, : held + new]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = None


def _decode(
    model: Any, input_ids: Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **kwargs: Any
) -> Tensor:
    """One token of each live row at a time, until all have ended; a row's tokens after its end are padding."""
    cache, mask_LN, position = kwargs["past_key_values"], kwargs["attention_mask"], kwargs["position_ids"][..., -1:]
    B, length = input_ids.shape
    padding = generation_config._pad_token_tensor
    out_BN = input_ids.new_full((B, generation_config.max_length), 0 if padding is None else int(padding))
    out_BN[:, :length] = input_ids
    live_L = torch.arange(B, device=input_ids.device)
    ended_L = torch.zeros_like(live_L, dtype=torch.bool)
    while True:
        logits_LV = model(
            input_ids=out_BN[live_L, length - 1 : length],
            attention_mask=mask_LN,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        scores_LV = logits_processor(out_BN[live_L, :length], logits_LV.to(torch.float32, copy=True))
        tokens_L = _draw(scores_LV, B, live_L) if generation_config.do_sample else scores_LV.argmax(-1)
        out_BN[live_L[~ended_L], length] = tokens_L[~ended_L]
        length += 1
        ended_L = ended_L | stopping_criteria(out_BN[live_L, :length], None)
        ended = int(ended_L.sum())
        if ended == len(live_L):
            return out_BN[:, :length]
        mask_LN, position = pad(mask_LN, (0, 1), value=1), position + 1
        if ended >= ENDED * len(live_L):
            keep = (~ended_L).nonzero()[:, 0]
            cache.batch_select_indices(keep)
            live_L, mask_LN, position, ended_L = live_L[keep], mask_LN[keep], position[..., keep, :], ended_L[keep]


def _draw(scores_LV: Tensor, B: int, live_L: Tensor) -> Tensor:
    """What `torch.multinomial` draws in the live rows of a batch of B: it takes the argmax of p / e with e ~ Exp(1),
    for all rows at once. Drawing e for the rows that have left keeps the random stream that of the whole batch."""
    noise_BV = torch.empty(B, scores_LV.shape[1], dtype=scores_LV.dtype, device=scores_LV.device).exponential_()
    noise_LV = noise_BV if len(live_L) == B else noise_BV[live_L]
    return (scores_LV.softmax(-1) / noise_LV).argmax(-1)
