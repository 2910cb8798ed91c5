"""What each rollout's teacher is told, and the prompts that tell it."""

from collections.abc import Sequence
from typing import Any

from trl.data_utils import prepare_multimodal_messages

from methods import Method, Privilege, Sibling, Task
from runners.prompts import content, told_text


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
