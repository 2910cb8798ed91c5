"""What is measured: random Qwen3-VL models, and groups of rollouts of given lengths for them."""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from runners.embedded.base_model import SPECIAL
from runners.forward.batch import Rows

PATCH, MERGE = 8, 2  # of the embedded processor, with which the whole steps read their pictures
PAD, START, END, IMAGE, VIDEO = (
    SPECIAL.index(name)
    for name in ("<|endoftext|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
)
FIRST = len(SPECIAL)  # the first token that means nothing to a model


@dataclass(frozen=True)
class Cell:
    """A batch of groups: P prompt tokens, `visual` of them of one picture, and G completions of at most C tokens.

    ragged: lengths from a quarter of C to C, evenly spread. dead: the share of groups whose advantages are all zero.
    """

    prompt: int
    completion: int
    visual: int
    ragged: bool = False
    group: int = 8
    groups: int = 1
    dead: float = 0.0

    @property
    def lengths(self) -> list[int]:
        if not self.ragged:
            return [self.completion] * self.group
        shares = torch.linspace(0.25, 1, self.group, dtype=torch.float64).tolist()
        return [max(1, int(self.completion * share)) for share in shares]

    @property
    def name(self) -> str:
        parts = [f"P {self.prompt}, C {self.completion}", "ragged" if self.ragged else "equal", f"G {self.group}"]
        parts += [f"{self.visual} visual"]
        parts += [f"{self.groups} groups"] * (self.groups > 1) + [f"{self.dead:.0%} dead"] * (self.dead > 0)
        return ", ".join(parts)


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a random Qwen3-VL; the rest is as in the published models."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    inner: int = 384
    vocabulary: int = 2048
    vision_hidden: int = 32
    vision_layers: int = 4
    vision_heads: int = 2
    vision_inner: int = 128


TINY = ModelShape()
# The text part of Qwen3-VL-2B: about 1.7 B parameters, and a picture tower of 0.3 B.
LARGE = ModelShape(2048, 28, 16, 8, 6144, 151_936, 1024, 24, 16, 4096)


def random_model(shape: ModelShape, device: str, seed: int = 0) -> Any:
    """A Qwen3-VL with random weights in float32, in training mode, as trainers forward it."""
    half = shape.hidden // shape.heads // 2
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.inner,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": 2 * half,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": [half - 2 * (half // 3), half // 3, half // 3],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
            "pad_token_id": PAD,
            "eos_token_id": SPECIAL.index("<|im_end|>"),
            "bos_token_id": None,
        },
        vision_config={
            "depth": shape.vision_layers,
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_inner,
            "num_heads": shape.vision_heads,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "out_hidden_size": shape.hidden,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config).to(device).train()
    model.generation_config.eos_token_id = SPECIAL.index("<|im_end|>")
    model.generation_config.pad_token_id = PAD
    return model


def twin(model: Any) -> Any:
    """Another module over the very same parameters: what is patched into one is not in the other."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def picture_sides(visual: int) -> tuple[int, int]:
    """Height and width in patches of a picture that becomes `visual` tokens, as square as can be."""
    height = next(h for h in range(int(visual**0.5), 0, -1) if visual % h == 0)
    return height * MERGE, visual // height * MERGE


class Batch(NamedTuple):
    """Rollouts, the weight of each token's log-probability in a loss, and the rows whose weights are not all zero."""

    rows: Rows
    weight_BT: Tensor
    live: list[int]


def batch(cell: Cell, vocabulary: int, device: str, seed: int = 0) -> Batch:
    """Drawn tokens and pictures: each group has its own."""
    random = torch.Generator().manual_seed(seed)
    lengths = cell.lengths * cell.groups
    height, width = picture_sides(cell.visual) if cell.visual else (0, 0)
    prompts, pixels = [], []
    for _ in range(cell.groups):
        shown = [START, *[IMAGE] * cell.visual, END] if cell.visual else []
        text = torch.randint(FIRST, vocabulary, (cell.prompt - len(shown),), generator=random).tolist()
        prompts += [[*text[:4], *shown, *text[4:]]] * cell.group
        pixels += [torch.randn(height * width, 3 * 2 * PATCH * PATCH, generator=random)] * cell.group
    prompt_BP = torch.tensor(prompts)
    mask_BT = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    completion_BT = torch.randint(FIRST, vocabulary, mask_BT.shape, generator=random) * mask_BT
    dead = round(cell.dead * cell.groups) * cell.group
    weight_BT = torch.randn(mask_BT.shape, generator=random) * mask_BT
    weight_BT[:dead] = 0
    grid = torch.tensor([[1, height, width]]).repeat(len(lengths), 1)
    pictures = {"pixel_values": torch.cat(pixels), "image_grid_thw": grid} if cell.visual else {}
    rows = Rows(
        prompt_BP.to(device),
        torch.ones_like(prompt_BP).to(device),
        completion_BT.to(device),
        mask_BT.to(device),
        (prompt_BP == IMAGE).long().to(device),
        {name: value.to(device) for name, value in pictures.items()},
        [int(cell.visual > 0)] * len(lengths),
    )
    return Batch(rows, weight_BT.to(device), list(range(dead, len(lengths))))
