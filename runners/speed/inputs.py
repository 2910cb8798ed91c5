"""What is measured on: random Qwen3-VL models, groups of rollouts of given lengths, and problems for real trainers."""

import copy
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from runners.data.cache import FEATURES
from runners.data.prompts import messages
from runners.forward.batch import Rows
from runners.run.model import locate
from runners.speed.cells import Cell, Sizes

PATCH, MERGE = 8, 2  # of the embedded processor, with which the whole steps read their pictures
# As the embedded base has them: nothing, the end of a turn, and what frames and stands for pictures.
PAD, END, VISION_START, VISION_END, IMAGE = 0, 2, 3, 4, 5
FIRST = 7  # the first token that means nothing to a model
# What transformers calls the fields of `Sizes`, of the text and then of the picture tower.
HEADS = ("num_attention_heads", "num_key_value_heads")
TEXT = ("hidden_size", "num_hidden_layers", *HEADS, "intermediate_size", "vocab_size")
VISION = ("hidden_size", "depth", "num_heads", "intermediate_size")
WORD = " the"  # one token


def random_model(sizes: Sizes, device: str) -> Any:
    """A Qwen3-VL with random weights in float32, in training mode, as trainers forward it."""
    config = Qwen3VLConfig.from_pretrained(locate("embedded"), attn_implementation="sdpa")
    head = sizes.hidden // sizes.heads
    turned = [head // 2 - 2 * (head // 6), head // 6, head // 6]  # of time, height and width
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": turned, "mrope_interleaved": True}
    text = {"head_dim": head, "max_position_embeddings": 8192, "rope_parameters": rope}
    vision = {"out_hidden_size": sizes.hidden, "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1, 2]}
    config.text_config.update(text | dict(zip(TEXT, sizes[: len(TEXT)], strict=True)))
    config.vision_config.update(vision | dict(zip(VISION, sizes[len(TEXT) :], strict=True)))
    cards = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(cards), torch.device(device):  # drawn where it stays: a CPU takes long for a large one
        torch.manual_seed(0)
        model = Qwen3VLForConditionalGeneration(config).train()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = END, PAD
    return model


def twin(model: Any) -> Any:
    """Another module over the very same parameters: what is patched into one is not in the other."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def picture_sides(visual: int) -> tuple[int, int]:
    """Height and width in patches of a picture that becomes `visual` tokens, as square as can be."""
    height = next((h for h in range(int(visual**0.5), 0, -1) if visual % h == 0), 1)
    return height * MERGE, visual // height * MERGE


class Batch(NamedTuple):
    """Rollouts, the weight of each token's log-probability in a loss, and the rows whose weights are not all zero."""

    rows: Rows
    weight_BT: Tensor
    live: list[int]


def batch(cell: Cell, vocabulary: int, device: str) -> Batch:
    """Drawn tokens and pictures: each group has its own."""
    random = torch.Generator().manual_seed(0)
    lengths = cell.lengths * cell.groups
    height, width = picture_sides(cell.visual)
    prompts, pixels = [], []
    for _ in range(cell.groups):
        shown = [VISION_START, *[IMAGE] * cell.visual, VISION_END] if cell.visual else []
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


def processor_for(cell: Cell) -> Any:
    """The embedded one, for pictures of up to the cell's size."""
    height, width = picture_sides(cell.visual)
    return AutoProcessor.from_pretrained(locate("embedded"), max_pixels=height * width * PATCH * PATCH)


def problems(cell: Cell, processor: Any) -> Dataset:
    """One row for each group, in the columns of training data; prompts of exactly `cell.prompt` tokens."""
    random = torch.Generator().manual_seed(0)
    height, width = (side * PATCH for side in picture_sides(cell.visual))
    rows = []
    for number in range(cell.groups):
        pixels = torch.randint(256, (height, width, 3), generator=random, dtype=torch.uint8)
        start = f"Problem {number}:"
        text = start + WORD * (cell.prompt - _tokens(start, cell, processor))
        if _tokens(text, cell, processor) != cell.prompt:
            raise ValueError(f"no prompt of {cell.prompt} tokens with {cell.visual} of a picture can be made")
        prompt = [{"role": "user", "content": text}]
        picture = Image.fromarray(pixels.numpy())
        rows.append({"id": str(number), "prompt": prompt, "images": [picture], "answer": "7", "solution": None})
    return Dataset.from_list(rows, features=FEATURES)


def _tokens(text: str, cell: Cell, processor: Any) -> int:
    """Of the rendered prompt, in which the picture is one token yet."""
    rendered = processor.apply_chat_template(messages(text, 1), tokenize=False, add_generation_prompt=True)
    return len(processor.tokenizer(rendered)["input_ids"]) - 1 + cell.visual


def alternating(completions: list[Any], **_: Any) -> list[float]:
    """A reward that gives every group a gradient and a success, whatever was written."""
    return [float(i % 2) for i in range(len(completions))]
