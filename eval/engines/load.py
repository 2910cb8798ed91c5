"""Loading a model as an engine: checked before, quiet, and everything as before afterwards."""

import functools
import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.core.errors import UserError
from eval.engines.chat import say_around
from eval.engines.model_folder import reads_text_alone
from eval.settings import Chat, EvalSettings

TINY_BYTES = 64 << 20


@contextmanager
def loaded_engine(model: str, settings: EvalSettings, max_images: int) -> Iterator[Any]:
    """The engine asked for, for prompts with up to `max_images` pictures; afterwards everything is as before."""
    with kept_random_state(), fitting_threads(model):
        engine = load_engine(model, settings, max_images)
        try:
            yield engine
        finally:
            engine.close()


def load_engine(model: str, settings: EvalSettings, max_images: int) -> Any:
    """The lm-eval model of the engine asked for. Raises UserError for a model that cannot be read."""
    quiet()
    with loading(model):
        text = reads_text_alone(model)
        if text and (max_images or settings.engine == "vllm"):
            why = "the bench shows pictures: evaluate it on text" if max_images else "it needs --engine transformers"
            raise UserError(f"{model} reads text alone, and {why}")
        if settings.engine == "vllm":
            from eval.engines.vllm import VllmEngine

            engine = VllmEngine(model, settings, max_images)
        else:
            from eval.engines.hf import TextEngine, TransformersEngine

            engine = TextEngine(model, settings) if text else TransformersEngine(model, settings)
        say_around(settings.chat or Chat(), engine.processor, model)
        return engine


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Whatever a library says of a model that it cannot read, in one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")[:160]
        said = reason if isinstance(error, OSError) else f"{type(error).__name__}: {reason}"
        raise UserError(
            f"{model}: cannot be loaded ({said}); give a whole model folder, or check the network"
        ) from error


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
    weights = list(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    tiny = weights and "OMP_NUM_THREADS" not in os.environ and sum(f.stat().st_size for f in weights) < TINY_BYTES
    with threads(1 if tiny else None):
        yield


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Inside, torch computes with so many threads; None leaves them as they are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def quiet() -> None:
    """lm-eval and its libraries report every step at INFO and draw bars of their own."""
    import lm_eval.api.task
    from transformers.utils.logging import disable_progress_bar

    for name in ("lm_eval", "httpx", "datasets", "transformers", "huggingface_hub", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    lm_eval.api.task.tqdm = functools.partial(lm_eval.api.task.tqdm, disable=True)
