"""Finding and loading the model and processor that are trained."""

from pathlib import Path
from typing import Any

from runners.config import ModelSettings
from runners.errors import UserError

BASE = Path(__file__).parent / "base"
VISION_IDS = (
    "image_token_id",
    "video_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
)


def locate(name: str) -> str:
    """A model name as transformers takes it: `embedded` is this repository's base, a folder is checked, else a hub id.

    Raises UserError for a folder that lacks its configuration, weights, tokenizer or processor.
    """
    folder = BASE if name == "embedded" else Path(name)
    if not folder.is_dir():
        if name == "embedded":
            raise UserError("the embedded base model is missing: build it with `cli.py base`")
        if name.startswith((".", "/")) or name.count("/") != 1:
            raise UserError(f"no model folder at {name!r}: give a checkpoint folder, a hub id, or `embedded`")
        return name
    wanted = {
        "a config.json": ("config.json",),
        "a tokenizer": ("tokenizer.json", "vocab.json", "tokenizer.model"),
        "a processor": ("processor_config.json", "preprocessor_config.json"),
        "weights": ("*.safetensors",),
    }
    for what, patterns in wanted.items():
        if what == "weights" and (folder / "adapter_config.json").exists():
            continue
        if not any(list(folder.glob(pattern)) for pattern in patterns):
            raise UserError(f"the model folder {name!r} has no {what[2:] if what != 'weights' else what}: "
                            "save model and processor into the same folder")  # fmt: skip
    return str(folder)


def load(settings: ModelSettings) -> tuple[Any, Any]:
    """Model and processor. Raises UserError where neither a folder nor a hub has them."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar per shard would bury the one of the steps
    path = locate(settings.path)
    limits = {"max_pixels": settings.max_pixels} if settings.max_pixels else {}
    try:
        processor = AutoProcessor.from_pretrained(path, **limits)
        model = AutoModelForImageTextToText.from_pretrained(
            path,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attention,
        )
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"cannot load the model {settings.path!r} ({reason}): give a folder, or `embedded`") from None
    return model, processor


def vision_ids(config: Any) -> list[int]:
    """Ids of the picture placeholders: a policy that samples one breaks the next forward, so they are banned."""
    known = config.to_dict()
    return sorted({known[name] for name in VISION_IDS if isinstance(known.get(name), int)})
