"""Which training rows a run can use: those whose prompt fits."""

from typing import Any

from eval.core.errors import UserError
from eval.engines.requests import tokenizer_of
from runners.data.prompts import messages


def fit_prompts(rows: Any, processor: Any, limit: int, processes: int = 1) -> Any:
    """Without the rows whose prompt, pictures included, is longer than `limit` tokens.

    Raises UserError where none is left, where a text model is shown a picture, and for several `processes` where some
    rows show pictures and some show none: a process without one would not call the picture tower, for whose gradients
    the others wait.
    """

    def tokens(row: dict[str, Any]) -> int:
        text = len(tokenizer_of(processor)(row["prompt"][-1]["content"])["input_ids"])
        if row["images"] and tokenizer_of(processor) is processor:
            raise UserError(
                f"row {row['id']} shows a picture, and the model reads text alone: name other data or model"
            )
        if row["images"] and not hasattr(processor, "_get_num_multimodal_tokens"):
            return _whole(processor, row)
        sizes = [(image.height, image.width) for image in row["images"]]
        pictures = processor._get_num_multimodal_tokens(image_sizes=sizes)["num_image_tokens"] if sizes else []
        return text + sum(pictures)

    kept, with_pictures = list[int](), 0
    for i, row in enumerate(rows):
        if tokens(row) <= limit:
            kept.append(i)
            with_pictures += bool(row["images"])
    if processes > 1 and 0 < with_pictures < len(kept):
        raise UserError(
            f"{len(kept) - with_pictures} of {len(kept)} prompts have no picture, and several processes cannot train "
            "on them beside the others: keep one kind, or set train.processes=1"
        )
    if not kept:
        raise UserError(f"every prompt is longer than train.max_prompt_tokens = {limit}: raise it, or model.max_pixels")
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} of {len(rows)} prompts left out: longer than {limit} tokens")
    return rows.select(kept)


def _whole(processor: Any, row: dict[str, Any]) -> int:
    """Tokens of the whole prompt, by a processor that cannot count a picture's by its size."""
    asked = messages(row["prompt"][-1]["content"], len(row["images"]))
    text = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    return len(processor(text=[text], images=[row["images"]])["input_ids"][0])
