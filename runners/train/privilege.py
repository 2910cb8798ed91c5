"""What each rollout's teacher is told, and the prompts that tell it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.utils import pad

from methods import Method, Privilege, Sibling, Task
from runners.data.prompts import content, told_text


def turn(example: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """The prompt with `text` as its last turn and its pictures' places marked in it."""
    return [*example["prompt"][:-1], {"role": "user", "content": content(text, len(example["images"]))}]


def privileges(
    method: Method, examples: Sequence[dict[str, Any]], siblings: Sequence[Sibling], first: int, size: int
) -> list[Privilege | None]:
    """What each of these rollouts is told. They stand in `siblings`, the rollouts of all processes in groups of `size`,
    from the place `first` on: a group may straddle processes."""
    if method.teacher.kind == "none":
        return [None] * len(examples)
    told = []
    for i, example in enumerate(examples, start=first):
        start = i - i % size
        task = Task(example["answer"], example["solution"])
        told.append(method.privilege(task, siblings[start : start + size], i - start))
    return told


def told_prompts(examples: Sequence[dict[str, Any]], told: Sequence[Privilege | None]) -> list[Any]:
    """The prompts with what they are told; a rollout that is told nothing keeps its own."""
    prompts = []
    for example, privilege in zip(examples, told, strict=True):
        text = example["prompt"][-1]["content"]
        text = told_text(text, privilege) if privilege is not None else text
        prompts.append(prepare_multimodal_messages(turn(example, text), example["images"]))
    return prompts


def teacher_inputs(ids: Sequence[Any], fields: dict[str, Any], fill: int, device: torch.device) -> dict[str, Tensor]:
    """The tokens of told prompts, padded on the left with `fill`, their mask and their token types.

    Only text is added and the pictures are the student's: TRL splits vision keys by name, so a second set under other
    names would be torn apart.
    """

    def left(rows: Sequence[Any], value: int) -> Tensor:
        padded: Tensor = pad([torch.as_tensor(r) for r in rows], padding_value=value, padding_side="left")
        return padded.to(device)

    out = {"teacher_ids": left(ids, fill), "teacher_mask": left([[1] * len(r) for r in ids], 0)}
    if "mm_token_type_ids" in fields:
        out["teacher_types"] = left(fields["mm_token_type_ids"], 0)
    return out
