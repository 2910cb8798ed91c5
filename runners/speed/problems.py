"""Prompts of an exact length, with one picture, for the real trainers and the embedded processor."""

from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoProcessor

from runners.data.prompts import messages
from runners.data.rows import FEATURES
from runners.run.model import locate
from runners.speed.cells import PATCH, Cell, picture_sides

WORD = " the"  # one token


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
        rows.append(
            {
                "id": str(number),
                "prompt": [{"role": "user", "content": text}],
                "images": [Image.fromarray(pixels.numpy())],
                "answer": "7",
                "solution": None,
            }
        )
    return Dataset.from_list(rows, features=FEATURES)


def _tokens(text: str, cell: Cell, processor: Any) -> int:
    """Of the rendered prompt, in which the picture is one token yet."""
    rendered = processor.apply_chat_template(messages(text, 1), tokenize=False, add_generation_prompt=True)
    return len(processor.tokenizer(rendered)["input_ids"]) - 1 + cell.visual


def alternating(completions: list[Any], **_: Any) -> list[float]:
    """A reward that gives every group a gradient and a success, whatever was written."""
    return [float(i % 2) for i in range(len(completions))]
