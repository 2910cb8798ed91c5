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
from runners.data.image_cache import content
from runners.data.prompts import MARKER, messages, told_text
from runners.forward.batch import PICTURES, Rows
from runners.train.trl_batch import TYPES, student_rows

# For chat templates of processors: TRL takes the padding of one that pads unasked (Gemma 4's) for prompt.
UNPADDED = {"processor_kwargs": {"padding": False, "return_tensors": None}}

Contexts = Mapping[str, Context]  # of one rollout, by the context's name


def turn(example: dict[str, Any], text: str, pictures: int, plain: bool = False) -> list[dict[str, Any]]:
    """The prompt with `text` as its last turn and the places of as many pictures marked in it; `plain`: for the
    template of a text model, which knows no parts."""
    return [*example["prompt"][:-1], *messages(text, pictures, plain=plain)]


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


def prompts_of(
    name: str, examples: Sequence[dict[str, Any]], told: Sequence[Contexts], plain: bool = False
) -> list[Any]:
    """The prompts of one context; a rollout that it tells nothing keeps its own."""
    prompts = []
    for example, contexts in zip(examples, told, strict=True):
        text, pictures = shown(name, example, contexts)
        asked = turn(example, text, len(pictures), plain)
        prompts.append(asked if plain else prepare_multimodal_messages(asked, pictures))
    return prompts


def inputs_of(
    name: str,
    told: Sequence[Contexts],
    ids: Sequence[Any],
    types: Mapping[str, Any],
    fields: Sequence[dict[str, Tensor]] | None,
    fill: int,
    device: torch.device,
) -> dict[str, Any]:
    """One context's part of a batch, from its prompts' tokens and their `types`: tokens padded on the left with `fill`,
    their mask and types, whom it tells anything, and of each row its pictures' `fields` where they are not the
    student's.

    These as a list of rows, and not a tensor: TRL splits tensors of patches by name, and only its own.
    """

    def left(rows: Sequence[Any], value: int) -> Tensor:
        padded: Tensor = pad([torch.as_tensor(r) for r in rows], padding_value=value, padding_side="left")
        return padded.to(device)

    out: dict[str, Any] = {f"{name}/ids": left(ids, fill), f"{name}/mask": left([[1] * len(r) for r in ids], 0)}
    out[f"{name}/told"] = torch.tensor([name in contexts for contexts in told], device=device)
    for field in TYPES:
        if field in types:
            out[f"{name}/types"] = left(types[field], 0)
    if fields is not None:
        out[f"{name}/pictures"] = fields
    return out


def fields_of(trainer: Any, prompts: Sequence[Any]) -> list[dict[str, Tensor]]:
    """Of each prompt, the picture fields that TRL's `trainer` has its processor make of it alone, on the host; of equal
    prompts once.

    TRL has the fields of a whole batch, and rules for some families by which to tell whose is what.
    """
    known: dict[str, dict[str, Tensor]] = {}
    options = {**trainer.chat_template_kwargs, "processor_kwargs": {}}
    rows = []
    for prompt in prompts:
        parts = [part for message in prompt for part in message["content"] if isinstance(part, dict)]
        pictures = [part["image"] for part in parts if part["type"] == "image"]
        key = repr([part.get("text", part["type"]) for part in parts]) + repr([hash(content(p)) for p in pictures])
        if pictures and key not in known:
            out = trainer.processing_class.apply_chat_template(
                [prompt], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **options
            )
            known[key] = {k: v for k, v in out.items() if k not in ("input_ids", "attention_mask", *TYPES)}
        rows.append(known.get(key, {}))
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
    if rows.fields_B:
        return replace(rows, fields_B=own)
    shown = [pictures for pictures in own if pictures]
    joined = {field: torch.cat([pictures[field] for pictures in shown]) for field in PICTURES} if shown else {}
    return replace(rows, pictures=joined, images_B=[len(p["image_grid_thw"]) if p else 0 for p in own])


def told_by_any(batch: dict[str, Any], method: Method) -> Tensor:
    """(B,), bool: whether any context tells the rollout anything."""
    return torch.stack([batch[f"{name}/told"] for name in method.teachers]).any(0)
