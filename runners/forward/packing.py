"""Scoring a batch with each prompt and each picture computed once: all groups in one packed row of the decoder.

The text decoder is called directly, with embeddings, rotary positions and deepstack features put together here, inside
the model's own forward (see logprobs.expose_hidden_states), so that DDP and FSDP wrappers see one ordinary pass.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runners.forward.batch import Groups, Rows, groups_of
from runners.forward.group_attention import Segment
from runners.forward.prefix_attention import NAME, Layout

# Families by their `model_type`: pictures as patches with grids under three rotary axes, and text alone.
WITH_GRIDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v")
TEXT = ("llama", "qwen2", "qwen3", "qwen3_moe")


class Packed(NamedTuple):
    """The packed row of L tokens: their ids and rotary positions on A axes (3, of text models 1), the groups in it, and
    for each of the N completion tokens, in the order of the batch's rows, the position that predicts it."""

    ids_L: Tensor
    types_L: Tensor
    position_AL: Tensor
    layout: Layout
    predicts_N: Tensor
    found: Groups


def can_pack(model: nn.Module) -> bool:
    """Whether the model is one whose forward is known here, the parts that `hidden_states` calls by name, and each of
    its layers attends to all that is before a token."""
    config: Any = getattr(model, "config", None)
    if getattr(config, "model_type", "") not in (*WITH_GRIDS, *TEXT):
        return False
    return {*(getattr(config.get_text_config(), "layer_types", None) or ["full_attention"])} == {"full_attention"}


def layout_words(model: nn.Module, shared_prefix: bool) -> str:
    """One line that says how a batch goes through the model."""
    kind = model.config.model_type  # type: ignore[union-attr]
    if not shared_prefix:
        return f"{kind}: every rollout is forwarded with its own prompt (train.shared_prefix=false)"
    if can_pack(model):
        return f"{kind}: a prompt and its pictures are forwarded once for all its rollouts"
    return f"{kind}: every rollout is forwarded with its own prompt; this family's prompts cannot be shared"


def decoder_of(model: Any) -> Any:
    """The text decoder: all that is below the head of a text model."""
    return getattr(model.model, "language_model", model.model)


def prepare(model: Any) -> None:
    """Give the text decoder the attention that knows groups. Once and for good: an attention that is exchanged between
    forward and backward is recomputed wrongly, without an error, under gradient checkpointing."""
    decoder_of(model).config._attn_implementation = NAME


def pack(model: Any, rows: Rows) -> Packed:
    """The batch's groups one after another; rotary positions of a completion go on where its prompt ends."""
    found = groups_of(rows)
    device = rows.prompt_BP.device
    mask_BT = rows.completion_mask_BT.bool()
    lengths = mask_BT.sum(1).tolist()
    ids, types, positions, layout = list[Tensor](), list[Tensor](), list[Tensor](), list[Segment]()
    predicts: list[Tensor] = [torch.empty(0)] * len(lengths)
    start = 0
    for group in found.groups:
        first = group.rows[0]
        real_P = rows.prompt_mask_BP[first].bool()
        prompt_P = rows.prompt_BP[first][real_P]
        types_P = torch.zeros_like(prompt_P) if rows.types_BP is None else rows.types_BP[first][real_P]
        grids = torch.stack([found.images[i][1] for i in group.images]).to(device) if group.images else None
        position_AP = _positions(model, prompt_P, types_P, grids)
        ids.append(prompt_P)
        types.append(types_P)
        positions.append(position_AP)
        P, after = len(prompt_P), int(position_AP.max()) + 1
        layout.append(Segment.of(start, P, [lengths[row] for row in group.rows], device))
        end = start + P
        for row in group.rows:
            n = lengths[row]
            ids.append(rows.completion_BT[row, :n])
            types.append(types_P.new_zeros(n))
            positions.append(torch.arange(after, after + n, device=device).expand(len(position_AP), -1))
            predicts[row] = torch.tensor([start + P - 1, *range(end, end + n - 1)][:n], dtype=torch.long)
            end += n
        start = end
    return Packed(
        torch.cat(ids), torch.cat(types), torch.cat(positions, 1), tuple(layout), torch.cat(predicts).to(device), found
    )


def _positions(model: Any, prompt_P: Tensor, types_P: Tensor, grids: Tensor | None) -> Tensor:
    """(A, P)"""
    if not hasattr(model.model, "get_rope_index"):
        return torch.arange(len(prompt_P), device=prompt_P.device)[None]
    position_AP: Tensor = model.model.get_rope_index(prompt_P[None], types_P[None], image_grid_thw=grids)[0][:, 0]
    return position_AP


def hidden_states(model: Any, rows: Rows) -> Tensor:
    """(N, D): the last hidden states that predict the batch's N completion tokens, row after row."""
    packed = pack(model, rows)
    return forward_packed(model, packed).index_select(0, packed.predicts_N)


def forward_packed(model: Any, packed: Packed, **attention: Any) -> Tensor:
    """(L, D): the last hidden states of the packed row. attention: further arguments of prefix_attention."""
    embedded_1LD = model.get_input_embeddings()(packed.ids_L[None])
    visual: dict[str, Any] = {}
    if packed.found.images:
        pooled, deep = _features(model, packed.found)
        mask_1L = (packed.types_L == 1)[None]
        embedded_1LD = embedded_1LD.masked_scatter(mask_1L[..., None], pooled.to(embedded_1LD.dtype))
        visual = {"visual_pos_masks": mask_1L, "deepstack_visual_embeds": deep} if deep else {}
    position_AL = packed.position_AL
    out = decoder_of(model)(
        inputs_embeds=embedded_1LD,
        position_ids=position_AL if len(position_AL) == 1 else position_AL[:, None],
        use_cache=False,
        shared_prefix=packed.layout,
        **attention,
        **visual,
    )
    hidden_LD: Tensor = out.last_hidden_state[0]
    return hidden_LD


def _features(model: Any, found: Groups) -> tuple[Tensor, list[Tensor]]:
    """Each distinct picture through the tower once; its features, and those of each deepstack level, in the order in
    which the packed row shows the pictures."""
    device = model.get_input_embeddings().weight.device
    pixels = torch.cat([p for p, _ in found.images]).to(device)
    grids = torch.stack([g for _, g in found.images]).to(device)
    encoded = model.model.get_image_features(pixels, grids)
    sizes = [len(f) for f in encoded.pooler_output]
    order = [i for group in found.groups for i in group.images]

    def arranged(parts: Any) -> Tensor:
        return torch.cat([parts[i] for i in order])

    deep = [arranged(level.split(sizes)) for level in getattr(encoded, "deepstack_features", None) or []]
    return arranged(encoded.pooler_output), deep
