"""MathVista: the ready prompt of the `query` column, after the picture."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # lm-eval's own command imports this file by its path

from eval.tasks import hooks


def doc_to_text(doc: dict[str, Any]) -> str:
    return f"<image>{doc['query']}"


def doc_to_image(doc: dict[str, Any]) -> list[Any]:
    return [doc["decoded_image"]]


def doc_to_picture(doc: dict[str, Any]) -> list[Any]:
    """For lm-eval's own models, which want opened pictures."""
    return hooks.opened(doc_to_image(doc))


dataset = partial(hooks.dataset, "mathvista")
process_results = partial(hooks.process_results, "mathvista")
score = hooks.score("mathvista")
parsed = hooks.parsed
