"""MATH-Vision: the official chain-of-thought instruction and question, after the row's one merged picture."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # lm-eval's own command imports this file by its path

from eval.tasks import hooks

INSTRUCTION = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". '
    'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".'
)


def doc_to_text(doc: dict[str, Any]) -> str:
    # Options that merely repeat their letters stand in the picture.
    options = [] if "".join(doc["options"]) == "ABCDE" else doc["options"]
    block = "".join(f"\n({chr(65 + i)}) {o}" for i, o in enumerate(options))
    return f"<image>{INSTRUCTION}\n{doc['question']}{block}"


def doc_to_image(doc: dict[str, Any]) -> list[Any]:
    return [doc["decoded_image"]]


def doc_to_picture(doc: dict[str, Any]) -> list[Any]:
    """For lm-eval's own models, which want opened pictures."""
    return hooks.opened(doc_to_image(doc))


dataset = partial(hooks.dataset, "mathvision")
process_results = partial(hooks.process_results, "mathvision")
score = hooks.score("mathvision")
parsed = hooks.parsed
