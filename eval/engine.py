"""What both engines share: a reply, the order of work, the ids that must not be sampled, and a quiet lm-eval."""

import functools
import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runners.errors import UserError

VISION_FIELDS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
TINY_BYTES = 64 << 20
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


class Reply(NamedTuple):
    """`finish` is stop, length (cut at the token limit) or overflow (the prompt left no room for a token)."""

    text: str
    tokens: int
    finish: str


def check_model(model: str) -> None:
    """A model folder must hold config, weights, tokenizer and processor; raises UserError before anything loads."""
    folder = Path(model)
    if not folder.is_dir():
        if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
            raise UserError(f"{model}: no such model folder; give a checkpoint folder or a hub id like org/name")
        return
    for names, what in (
        (("config.json",), "config"),
        (_PROCESSOR_FILES, "processor"),
        (("tokenizer.json", "tokenizer_config.json", "vocab.json"), "tokenizer"),
    ):
        if not any((folder / name).is_file() for name in names):
            raise UserError(
                f"{model}: holds no {what} ({' or '.join(names)}); save the model's {what} beside its weights"
            )
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise UserError(f"{model}: holds no weights (*.safetensors); give a folder that a model was saved to")


def vision_ids(config: Any) -> list[int]:
    """Placeholder ids of the model's config: sampled ones would ask the next forward for pictures that do not exist."""
    fields = config.to_dict()
    return sorted({int(fields[name]) for name in VISION_FIELDS if fields.get(name) is not None})


def longest_first(prompts: list[str], size: int) -> Iterator[list[int]]:
    """Batches of positions, long prompts first: little padding, an honest estimate, and memory fails at once."""
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Whatever seeds the global generators inside (vLLM does), the caller's stream goes on as before."""
    import numpy
    import torch

    python, numbers = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(numbers)


@contextmanager
def fitting_threads(model: str) -> Iterator[None]:
    """One thread for a model whose weights fit in a cache: on two busy cores two threads took 40 times as long."""
    import torch

    before = torch.get_num_threads()
    weights = list(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    if weights and "OMP_NUM_THREADS" not in os.environ and sum(f.stat().st_size for f in weights) < TINY_BYTES:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def progress(what: str, total: int) -> Iterator[Any]:
    """A bar on stderr; calling the value advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


def quiet() -> None:
    """lm-eval and its libraries report every step at INFO and draw bars of their own."""
    import lm_eval.api.task
    from transformers.utils.logging import disable_progress_bar

    for name in ("lm_eval", "httpx", "datasets", "transformers", "huggingface_hub", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    lm_eval.api.task.tqdm = functools.partial(lm_eval.api.task.tqdm, disable=True)
