"""Finding and loading the model and processor that are trained."""

import re
from pathlib import Path
from typing import Any

from eval.core.errors import UserError
from eval.engines.load import loading
from eval.engines.model_folder import check_model, reads_text_alone
from runners.run.config import LoraSettings, ModelSettings

# By their `model_type`, and why.
REFUSED = {
    "paligemma": "its prompt attends to itself both ways and its completion does not, which a padded batch cannot say"
}
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


def processor_of(name: str) -> Any:
    """What turns prompts into tokens, as the model brings it."""
    path = locate(name)
    return loaders(path)[1].from_pretrained(path)


def load(settings: ModelSettings) -> tuple[Any, Any]:
    """Model and processor. Raises UserError where neither a folder nor a hub has them."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar per shard would bury the one of the steps
    path = locate(settings.path)
    limits = {"max_pixels": settings.max_pixels} if settings.max_pixels else {}
    with loading(settings.path):
        made, processor = loaders(path)
        words = processor.from_pretrained(path, **limits)
        model, read = made.from_pretrained(
            path, dtype=getattr(torch, settings.dtype), attn_implementation=settings.attention, output_loading_info=True
        )
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if wrong := sorted(map(str, read[what])):
            raise UserError(
                f"{settings.path}: weights and config.json differ ({what}: {wrong[0]}); save the model again"
            )
    if (kind := model.config.model_type) in REFUSED:
        raise UserError(f"a {kind} cannot be trained here: {REFUSED[kind]}")
    if not words.chat_template:
        raise UserError(f"the model's {type(words).__name__} has no chat template: give an instruction-tuned one")
    return model, words


def loaders(path: str) -> tuple[Any, Any]:
    """transformers' classes for the weights and for what turns prompts into tokens: a processor, or a tokenizer where
    the model reads text alone."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    if reads_text_alone(path):
        return AutoModelForCausalLM, AutoTokenizer
    return AutoModelForImageTextToText, AutoProcessor


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
