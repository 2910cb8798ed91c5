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
from eval.settings import EvalSettings

TINY_BYTES = 64 << 20
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


def check_model(model: str) -> None:
    """A model folder must hold config, weights, tokenizer and, but for a text model, processor; raises UserError before
    anything loads."""
    folder = Path(model)
    if not folder.is_dir():
        if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
            raise UserError(f"{model}: no such model folder; give a checkpoint folder or a hub id like org/name")
        return
    for names, what in (
        (("config.json",), "config"),
        *([(_PROCESSOR_FILES, "processor")] if _has_processor(model) else []),
        (("tokenizer.json", "tokenizer_config.json", "vocab.json"), "tokenizer"),
    ):
        if not any((folder / name).is_file() for name in names):
            raise UserError(
                f"{model}: holds no {what} ({' or '.join(names)}); save the model's {what} beside its weights"
            )
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise UserError(f"{model}: holds no weights (*.safetensors); give a folder that a model was saved to")


def _has_processor(model: str) -> bool:
    """Also where the configuration cannot be read: what is wrong with it is said by whoever loads it."""
    try:
        return not reads_text_alone(model)
    except (OSError, ValueError):
        return True


def reads_text_alone(model: str) -> bool:
    """Whether a model folder or hub id is a causal language model without pictures, which has no processor.

    Raises OSError or ValueError where its configuration cannot be read.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WITH_PICTURES

    if Path(model).is_dir() and not Path(model, "config.json").is_file():
        return False
    return AutoConfig.from_pretrained(model).model_type not in WITH_PICTURES


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
    try:
        text = reads_text_alone(model)
        if text and (max_images or settings.engine == "vllm"):
            why = "the bench shows pictures: evaluate it on text" if max_images else "it needs --engine transformers"
            raise UserError(f"{model} reads text alone, and {why}")
        if settings.engine == "vllm":
            from eval.engines.vllm import VllmEngine

            return VllmEngine(model, settings, max_images)
        from eval.engines.hf import TextEngine, TransformersEngine

        return TextEngine(model, settings) if text else TransformersEngine(model, settings)
    except (OSError, ValueError) as error:  # what transformers raises for files and hub ids that it cannot read
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"{model}: cannot be loaded ({reason}); give a model folder, or check the network") from error


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
