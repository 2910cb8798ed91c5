"""What each rollout's teachers read: their prompts, as tensors beside TRL's, and as rows to score."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.utils import pad

from eval.core.errors import UserError
from methods import Context, Method, Sibling, Task
from runners.data.prompts import MARKER, content, told_text
from runners.forward.batch import PICTURES, Rows
from runners.train.trl_batch import student_rows

Contexts = Mapping[str, Context]  # of one rollout, by the context's name


def turn(example: dict[str, Any], text: str, pictures: int) -> list[dict[str, Any]]:
    """The prompt with `text` as its last turn and the places of as many pictures marked in it."""
    return [*example["prompt"][:-1], {"role": "user", "content": content(text, pictures)}]


def contexts_of(
    method: Method, examples: Sequence[dict[str, Any]], siblings: Sequence[Sibling], first: int, size: int
) -> list[Contexts]:
    """What each of these rollouts' teachers are told. They stand in `siblings`, the rollouts of all processes in groups
    of `size`, from the place `first` on: a group may straddle processes."""
    if not method.teachers:
        return [{} for _ in examples]
    told = []
    for i, example in enumerate(examples, start=first):
        start = i - i % size
        answer = example.get("told_answer", example["answer"])  # runners.data.treatment
        task = Task(answer, example["solution"], example["images"])
        told.append(method.contexts(task, siblings[start : start + size], i - start))
        if unknown := told[-1].keys() - method.teachers.keys():
            names = ", ".join(method.teachers)
            raise UserError(f"{method.name}: contexts names {', '.join(sorted(unknown))}, and teachers only {names}")
    return told


def shown(name: str, example: dict[str, Any], told: Contexts) -> tuple[str, list[Any]]:
    """The user turn and the pictures that one rollout's teacher reads; its own where it is told nothing."""
    text, pictures = example["prompt"][-1]["content"], example["images"]
    if (context := told.get(name)) is None:
        return text, pictures
    if context.pictures is not None:
        pictures = list(context.pictures)
        if text.count(MARKER) > len(pictures):  # the question places pictures that this context does not show
            text = text.replace(MARKER, "image")
    return told_text(text, context), pictures


def prompts_of(name: str, examples: Sequence[dict[str, Any]], told: Sequence[Contexts]) -> list[Any]:
    """The prompts of one context; a rollout that it tells nothing keeps its own."""
    prompts = []
    for example, contexts in zip(examples, told, strict=True):
        text, pictures = shown(name, example, contexts)
        prompts.append(prepare_multimodal_messages(turn(example, text, len(pictures)), pictures))
    return prompts


def inputs_of(
    name: str,
    examples: Sequence[dict[str, Any]],
    told: Sequence[Contexts],
    prompts: Sequence[Any],
    fields: dict[str, Any],
    fill: int,
    device: torch.device,
) -> dict[str, Any]:
    """One context's part of a batch, from its prompts' tokens and the processor's `fields`: tokens padded on the left
    with `fill`, their mask and types, whom it tells anything, and of each row the pictures where they are not the
    student's.

    These as a list of rows, and not a tensor: TRL splits tensors of patches by name, and only its own.
    """

    def left(rows: Sequence[Any], value: int) -> Tensor:
        padded: Tensor = pad([torch.as_tensor(r) for r in rows], padding_value=value, padding_side="left")
        return padded.to(device)

    out: dict[str, Any] = {f"{name}/ids": left(prompts, fill), f"{name}/mask": left([[1] * len(r) for r in prompts], 0)}
    out[f"{name}/told"] = torch.tensor([name in contexts for contexts in told], device=device)
    if "mm_token_type_ids" in fields:
        out[f"{name}/types"] = left(fields["mm_token_type_ids"], 0)
    if any(name in contexts and contexts[name].pictures is not None for contexts in told):
        counts = [len(shown(name, e, contexts)[1]) for e, contexts in zip(examples, told, strict=True)]
        out[f"{name}/pictures"] = _by_row(fields, counts)
    return out


def _by_row(fields: dict[str, Any], counts: Sequence[int]) -> list[dict[str, Tensor]]:
    """The processor's pictures, laid end to end, row by row."""
    grids: Tensor = fields.get("image_grid_thw", torch.empty(0, 3, dtype=torch.long))
    patches = fields["pixel_values"].split(grids.prod(-1).tolist()) if len(grids) else []
    rows, first = [], 0
    for count in counts:
        own = slice(first, first + count)
        first += count
        shown = {"pixel_values": torch.cat(patches[own]).cpu(), "image_grid_thw": grids[own].cpu()} if count else {}
        rows.append(shown)
    return rows


def context_rows(batch: dict[str, Any], name: str) -> Rows:
    """The student's completions after the prompts of a context, with the pictures that it shows."""
    rows = replace(
        student_rows(batch),
        prompt_BP=batch[f"{name}/ids"],
        prompt_mask_BP=batch[f"{name}/mask"],
        types_BP=batch.get(f"{name}/types"),
    )
    own: list[dict[str, Tensor]] | None = batch.get(f"{name}/pictures")
    if own is None:
        return rows
    shown = [pictures for pictures in own if pictures]
    joined = {field: torch.cat([pictures[field] for pictures in shown]) for field in PICTURES} if shown else {}
    return replace(rows, pictures=joined, images_B=[len(p["image_grid_thw"]) if p else 0 for p in own])


def told_by_any(batch: dict[str, Any], method: Method) -> Tensor:
    """(B,), bool: whether any context tells the rollout anything."""
    return torch.stack([batch[f"{name}/told"] for name in method.teachers]).any(0)
