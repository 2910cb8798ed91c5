"""How long a training row's prompt is for a model, and what no row may say to it."""

import json
from collections.abc import Sequence
from typing import Any

from eval.core import files
from eval.core.errors import UserError
from eval.core.images import Picture
from runners.data.prompts import MARKER, messages

MEND = "mend it, or set data.skip_bad_rows=true"


def prompt_tokens(
    text: str, images: Sequence[Any], sizes: Sequence[tuple[int, int]], where: str, processor: Any
) -> int:
    """Tokens of a user turn and its pictures, `sizes` being their widths and heights; the words of the chat template
    are not counted. `processor` is a tokenizer where the model reads text alone: raises UserError for pictures then."""
    tokenizer = getattr(processor, "tokenizer", processor)
    if images and tokenizer is processor:
        raise UserError(f"{where} shows a picture, and the model reads text alone: name other data, or another model")
    if images and not hasattr(processor, "_get_num_multimodal_tokens"):  # it cannot tell from their sizes
        turn = processor.apply_chat_template(messages(text, len(images)), add_generation_prompt=True, tokenize=False)
        shown = [Picture(image).open() for image in images]
        return len(processor(text=[turn], images=[shown])["input_ids"][0])
    upright = [(height, width) for width, height in sizes]
    pictures = processor._get_num_multimodal_tokens(image_sizes=upright)["num_image_tokens"] if images else []
    return len(tokenizer(text)["input_ids"]) + sum(pictures)


def refuse_placeholders(text: str, where: str, processor: Any) -> None:
    """Raises UserError for text with what this model's template puts in a picture's place, whatever others call it."""
    for token in (getattr(processor, name, None) for name in ("image_token", "video_token")):
        if isinstance(token, str) and token != MARKER and token in text:
            raise UserError(f"{where} says {token}, which stands for a picture: {MEND}")


def counted_by(processor: Any) -> str:
    """Identifies what `prompt_tokens` depends on."""
    images, tokenizer = getattr(processor, "image_processor", None), getattr(processor, "tokenizer", processor)
    made = [type(processor).__name__, type(images).__name__, images.to_json_string() if images else ""]
    words = json.loads(tokenizer.backend_tokenizer.to_str())
    del words["padding"], words["truncation"]  # of the last call
    return files.text_hash(json.dumps([made, words]))
