"""Prompts with given replies as rows of tokens, and what a model says of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runners.data.prompts import messages
from runners.forward.batch import Rows
from runners.forward.logprobs import token_log_probs

AT_ONCE = 128  # replies to one prompt


class Turn(NamedTuple):
    """One user turn and the pictures that it shows (PIL), as the student reads it or with what a teacher is told."""

    text: str
    pictures: Sequence[Any]


def rendered(processor: Any, prompt: Turn) -> str:
    turn = messages(prompt.text, len(prompt.pictures))
    return str(processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))


def reply_ids(processor: Any, reply: str, ended: bool = True) -> list[int]:
    """A reply's tokens, with the end of the turn where it ended there. What a model sampled may have been cut into
    other tokens: its text is all that is stored."""
    ids: list[int] = processor.tokenizer(reply, add_special_tokens=False)["input_ids"]
    return [*ids, processor.tokenizer.eos_token_id] if ended else ids


def rows_of(processor: Any, prompt: Turn, replies: Sequence[Sequence[int]], device: Any = "cpu") -> Rows:
    """The same prompt before each of these replies' tokens."""
    shown = {"images": [list(prompt.pictures)]} if prompt.pictures else {}
    inputs = processor(text=[rendered(processor, prompt)], return_tensors="pt", **shown)
    n, longest = len(replies), max(map(len, replies))
    fill = processor.tokenizer.pad_token_id or 0
    completion_BT = torch.tensor([[*ids, *[fill] * (longest - len(ids))] for ids in replies], device=device)
    mask_BT = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in replies], device=device)

    def same(name: str) -> Tensor | None:
        value = inputs.get(name)
        return None if value is None else value.to(device).expand(n, -1)

    pictures = {}
    if prompt.pictures:
        pixels, grids = inputs["pixel_values"], inputs["image_grid_thw"]
        pictures = {"pixel_values": pixels.repeat(n, 1), "image_grid_thw": grids.repeat(n, 1)}
    ids_BP, mask_BP = same("input_ids"), same("attention_mask")
    assert ids_BP is not None and mask_BP is not None
    types_BP = same("mm_token_type_ids")
    return Rows(ids_BP, mask_BP, completion_BT, mask_BT, types_BP, pictures, [len(prompt.pictures)] * n)


def log_probs(model: nn.Module, processor: Any, prompt: Turn, replies: Sequence[Sequence[int]]) -> list[Tensor]:
    """Of each reply the log-probabilities (T,) of its tokens, at temperature 1."""
    found: list[Tensor] = []
    device = next(model.parameters()).device
    for start in range(0, len(replies), AT_ONCE):
        part = replies[start : start + AT_ONCE]
        logp_BT = token_log_probs(model, rows_of(processor, prompt, part, device), 1.0)
        found += [logp_T[: len(ids)] for logp_T, ids in zip(logp_BT, part, strict=True)]
    return found


@torch.no_grad()
def logits(model: nn.Module, processor: Any, prompt: Turn, replies: Sequence[Sequence[int]]) -> list[Tensor]:
    """(T, V) of each reply's tokens, float32, at temperature 1."""
    rows = rows_of(processor, prompt, replies, next(model.parameters()).device)
    found: Tensor = model(rows=rows, then=lambda hidden_ND, head: head(hidden_ND, 1.0))
    return list(found.float().split([len(ids) for ids in replies]))
