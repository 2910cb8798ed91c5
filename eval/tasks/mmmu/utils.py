"""MMMU: how a row becomes a prompt (official `llava1.5.yaml` wording, every picture in its reading order)."""

import ast
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # lm-eval's own command imports this file by its path

from eval.tasks import hooks

_SLOT = re.compile(r"<image ([1-7])>")


def _prompt(doc: dict[str, Any]) -> str:
    if doc["question_type"] != "multiple-choice":
        return f"{doc['question']}\n\nAnswer the question using a single word or phrase."
    options = "".join(f"({chr(65 + i)}) {o}\n" for i, o in enumerate(ast.literal_eval(doc["options"])))
    return f"{doc['question']}\n\n{options}\n\nAnswer with the option's letter from the given choices directly."


def doc_to_text(doc: dict[str, Any]) -> str:
    return _SLOT.sub("<image>", _prompt(doc))


def doc_to_image(doc: dict[str, Any]) -> list[Any]:
    """One picture per slot: a picture that the text names twice is shown twice."""
    return [doc[f"image_{n}"] for n in _SLOT.findall(_prompt(doc))]


def doc_to_picture(doc: dict[str, Any]) -> list[Any]:
    """For lm-eval's own models, which want opened pictures."""
    return hooks.opened(doc_to_image(doc))


dataset = partial(hooks.dataset, "mmmu")
process_results = partial(hooks.process_results, "mmmu")
score = hooks.score("mmmu")
parsed = hooks.parsed
