"""How long a training row's prompt is."""

from collections.abc import Sequence
from typing import Any

from eval.core import files
from eval.core.errors import UserError
from runners.data.prompts import MARKER


def prompt_tokens(text: str, sizes: Sequence[tuple[int, int]], processor: Any) -> int:
    """Tokens of a user turn and its pictures, given by width and height; the words of the chat template not counted."""
    tokens = len(processor.tokenizer(text)["input_ids"])
    if not sizes:
        return tokens
    upright = [(height, width) for width, height in sizes]
    return tokens + sum(processor._get_num_multimodal_tokens(image_sizes=upright)["num_image_tokens"])


def refuse_placeholders(text: str, where: str, processor: Any) -> None:
    """Raises UserError for text with what this model's template puts in a picture's place, whatever others call it."""
    for token in (getattr(processor, name, None) for name in ("image_token", "video_token")):
        if isinstance(token, str) and token != MARKER and token in text:
            raise UserError(f"{where} says {token}, which stands for a picture: mend it, or set data.skip_bad_rows=true")


def counted_by(processor: Any) -> str:
    """Identifies what `prompt_tokens` depends on."""
    images = getattr(processor, "image_processor", None)
    made = [type(processor).__name__, type(images).__name__, images.to_json_string() if images else ""]
    return files.text_hash("\n".join([*made, processor.tokenizer.backend_tokenizer.to_str()]))
