"""Rollouts with transformers' engine: a prompt and its pictures are forwarded once and its rollouts go on from that
cache, or from copies of it; rows that have ended leave the batch. The tokens are those that `model.generate` draws from
the same random state.
"""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

from eval.engines.decoding.decode import decode
from eval.engines.decoding.decode_step import ByGroup, ByRow, has_known_decoder
from eval.engines.decoding.kv_cache import GrowingLayer
from runners.forward.batch import PICTURES, Group, Rows, groups_of, pictures_of
from runners.forward.fsdp import is_sharded
from runners.forward.prefix_attention import NAME
from runners.rollout.multinomial import Draw

PREFILL_ONLY = (*PICTURES, "mm_token_type_ids")
UNEVEN = 2  # groups of unequal sizes are forwarded as equal ones; by how much this may add to the rows


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
    stock = {
        "logits_processor": logits_processor,
        "stopping_criteria": stopping_criteria,
        "generation_config": generation_config,
        "synced_gpus": _in_step(model),
    }
    if not kwargs["use_cache"]:
        out: Tensor = type(model)._sample(model, input_ids, **stock, **kwargs)
        return out
    following = _prefill(model, input_ids, kwargs)
    if is_sharded(model):
        kwargs = {k: v for k, v in kwargs.items() if k not in PREFILL_ONLY}
        out = type(model)._sample(model, input_ids, **stock, **kwargs)
        return out
    length, padding = input_ids.shape[1], generation_config._pad_token_tensor
    out_BN = pad(input_ids, (0, generation_config.max_length - length), value=0 if padding is None else int(padding))
    with torch.inference_mode():  # less to keep track of at each operation; what is returned was made outside
        draw = Draw(len(out_BN)) if generation_config.do_sample else None
        longest = decode(following, out_BN, length, logits_processor, stopping_criteria, draw)
    return out_BN[:, :longest]


def _in_step(model: Any) -> bool:
    """Whether processes share the weights, and so must forward equally often: until the last of them has ended."""
    alone = not dist.is_initialized() or dist.get_world_size() == 1
    return not alone and is_sharded(model)


def _prefill(model: Any, ids_BP: Tensor, kwargs: dict[str, Any]) -> ByRow | ByGroup:
    """Fill the cache with all but the last token of each row's prompt, each distinct prompt forwarded once."""
    cache, upto = kwargs["past_key_values"], ids_BP.shape[1] - 1
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    groups, pictures = _groups(model, ids_BP, kwargs)
    first = torch.tensor([group.rows[0] for group in groups], device=ids_BP.device)
    mask_GP, position_BP = kwargs["attention_mask"][first, :upto], kwargs["position_ids"]
    model(
        input_ids=ids_BP[first, :upto],
        attention_mask=mask_GP,
        position_ids=position_BP[..., first, :upto],
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
    group_B = group_B.to(ids_BP.device)
    places = len(groups) * max(len(group.rows) for group in groups)
    growing = all(type(layer) is GrowingLayer for layer in cache.layers)
    known = growing and not is_sharded(model) and has_known_decoder(model, NAME)
    if known and places <= UNEVEN * len(ids_BP):
        return ByGroup(model, cache, mask_GP, position_BP[..., -1:], group_B)
    cache.batch_select_indices(group_B)
    return ByRow(model, cache, kwargs["attention_mask"], position_BP[..., -1:])


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
    return groups, pictures_of([images[i] for group in groups for i in group.images])
