"""We-Math: the official prompt, the option string verbatim."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # lm-eval's own command imports this file by its path

from eval.tasks import hooks


def doc_to_text(doc: dict[str, Any]) -> str:
    return (
        "<image>Now, we require you to solve a multiple-choice math question. "
        "Please briefly describe your thought process and provide the final answer(option).\n"
        f"Question: {doc['question']}\nOption: {doc['option']}\n"
        "Regarding the format, please answer following the template below, and be sure to include two <> symbols:\n"
        "<Thought process>: <<your thought process>> <Answer>: <<your option>>"
    )


def doc_to_image(doc: dict[str, Any]) -> list[Any]:
    return [doc["image_path"]]


def doc_to_picture(doc: dict[str, Any]) -> list[Any]:
    """For lm-eval's own models, which want opened pictures."""
    return hooks.opened(doc_to_image(doc))


dataset = partial(hooks.dataset, "wemath")
process_results = partial(hooks.process_results, "wemath")
score = hooks.score("wemath")
parsed = hooks.parsed
loose = hooks.loose
