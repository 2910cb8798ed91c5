"""ZeroBench: the pictures, the question, and the official request for curly braces."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # lm-eval's own command imports this file by its path

from eval.tasks import hooks

SUFFIX = "\n\n\nLet's think step by step and give the final answer in curly braces, like this: {final answer}"


def doc_to_text(doc: dict[str, Any]) -> str:
    return f"{'<image>' * len(doc['question_images_decoded'])}{doc['question_text']}{SUFFIX}"


def doc_to_image(doc: dict[str, Any]) -> list[Any]:
    return list(doc["question_images_decoded"])


def doc_to_picture(doc: dict[str, Any]) -> list[Any]:
    """For lm-eval's own models, which want opened pictures."""
    return hooks.opened(doc_to_image(doc))


dataset = partial(hooks.dataset, "zerobench")
process_results = partial(hooks.process_results, "zerobench")
score = hooks.score("zerobench")
parsed = hooks.parsed
