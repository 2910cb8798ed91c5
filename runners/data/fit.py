"""Which training rows a run can use: those whose prompt fits."""

from typing import Any

from eval.core.errors import UserError


def fit_prompts(rows: Any, processor: Any, limit: int, processes: int = 1) -> Any:
    """Without the rows whose prompt, pictures included, is longer than `limit` tokens.

    Raises UserError where none is left, and for several `processes` where some rows show pictures and some show none:
    a process without one would not call the picture tower, for whose gradients the others wait.
    """

    def tokens(row: dict[str, Any]) -> int:
        text = len(processor.tokenizer(row["prompt"][-1]["content"])["input_ids"])
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
