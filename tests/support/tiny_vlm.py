"""A random Qwen3-VL with grouped queries and deepstack, and batches for it: nothing is trained, nothing is loaded."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from runners.forward.batch import Rows

VOCABULARY, PAD, IMAGE, START, END, PATCH = 97, 0, 5, 3, 4, 4


def tiny_vlm(seed: int = 0, **text: Any) -> Qwen3VLForConditionalGeneration:
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "pad_token_id": PAD,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            **text,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 48,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=IMAGE,
        video_token_id=6,
        vision_start_token_id=START,
        vision_end_token_id=END,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
        for p in model.parameters():  # larger weights than at initialisation: a wrong token must be visible
            p.data.mul_(2.0)
    return model


class Prompt:
    """Text tokens and square pictures of `sides` patches, as the model is shown them."""

    def __init__(self, seed: int, words: int, sides: Sequence[int] = ()) -> None:
        random = torch.Generator().manual_seed(seed)
        text = torch.randint(10, VOCABULARY, (words,), generator=random).tolist()
        shown = [t for side in sides for t in (START, *[IMAGE] * (side * side // 4), END)]
        self.ids = [*text[:2], *shown, *text[2:]]
        self.pixels = [torch.randn(side * side, 3 * 2 * PATCH * PATCH, generator=random) for side in sides]
        self.grids = [torch.tensor([1, side, side]) for side in sides]


def batch(prompts: Sequence[Prompt], lengths: Sequence[int], seed: int = 0) -> Rows:
    """One row for each prompt (the same one again for a group), with a completion of that length."""
    random = torch.Generator().manual_seed(seed)
    width, longest = max(len(p.ids) for p in prompts), max(lengths)
    ids_BP = torch.tensor([[PAD] * (width - len(p.ids)) + p.ids for p in prompts])
    mask_BP = torch.tensor([[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in prompts])
    mask_BT = (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).long()
    completion_BT = torch.randint(10, VOCABULARY, mask_BT.shape, generator=random) * mask_BT
    pixels = [x for p in prompts for x in p.pixels]
    pictures: dict[str, Tensor] = {}
    if pixels:
        pictures = {
            "pixel_values": torch.cat(pixels),
            "image_grid_thw": torch.stack([g for p in prompts for g in p.grids]),
        }
    counts = [len(p.pixels) for p in prompts]
    return Rows(ids_BP, mask_BP, completion_BT, mask_BT, (ids_BP == IMAGE).long(), pictures, counts)


def average_gradients(model: nn.Module) -> None:
    """Over all processes, as FSDP does it."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for g, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        g.copy_(mean.view_as(g))


def shard_of(whole: Tensor) -> Tensor:
    """What FSDP2 gives this process of it: without asking the others, which costs more than the model."""
    parts, rank = whole.chunk(distributed.get_world_size()), distributed.get_rank()
    return parts[rank] if rank < len(parts) else whole[:0]
