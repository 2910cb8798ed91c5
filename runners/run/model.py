"""Finding and loading the model and processor that are trained."""

import re
from pathlib import Path
from typing import Any

from eval.core.errors import UserError
from eval.engines.load import loading
from eval.engines.model_folder import check_model
from runners.run.config import LoraSettings, ModelSettings

BASE = Path(__file__).parents[1] / "embedded" / "base"


def locate(name: str) -> str:
    """A model name as transformers takes it: `embedded` is this repository's base, a folder is checked, else a hub id.

    Raises UserError for a folder that lacks its configuration, weights, tokenizer or processor.
    """
    path = str(BASE) if name == "embedded" else name
    if name == "embedded" and not BASE.is_dir():
        raise UserError("the embedded base model is missing: build it with `cli.py base`")
    check_model(path)
    return path


def load(settings: ModelSettings) -> tuple[Any, Any]:
    """Model and processor. Raises UserError where neither a folder nor a hub has them."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar per shard would bury the one of the steps
    path = locate(settings.path)
    limits = {"max_pixels": settings.max_pixels} if settings.max_pixels else {}
    with loading(settings.path):
        processor = AutoProcessor.from_pretrained(path, **limits)
        model, read = AutoModelForImageTextToText.from_pretrained(
            path,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attention,
            output_loading_info=True,
        )
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if wrong := sorted(map(str, read[what])):
            raise UserError(
                f"{settings.path}: weights and config.json differ ({what}: {wrong[0]}); save the model again"
            )
    return model, processor


def require_options(settings: ModelSettings, processor: Any) -> None:
    """Raises UserError for an option that the model's chat template does not have: it would say nothing about it."""
    template = str(getattr(processor, "chat_template", None) or processor.tokenizer.chat_template)
    if unknown := [name for name in settings.template_options if name not in template]:
        raise UserError(f"the chat template of {settings.path} has no {unknown[0]}: see model.template and .thinking")


def adapters(lora: LoraSettings, model: Any) -> Any:
    """The settings as peft's configuration. Raises UserError for a target that the model does not have."""
    from peft import LoraConfig

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    names = [name for name, _ in model.named_modules()]
    for target in [lora.targets] if isinstance(lora.targets, str) else lora.targets:
        try:
            found = target == "all-linear" or any(re.fullmatch(rf"(.*\.)?({target})", name) for name in names)
        except re.error:
            found = False
        if not found:
            raise UserError(f"model.lora.targets: no layer is called {target!r}; all-linear takes them all")
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, task_type="CAUSAL_LM")
