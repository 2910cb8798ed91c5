"""Whether a model folder can be loaded, from its names and headers alone: told in one line before anything loads."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from eval.core import files
from eval.core.errors import UserError

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json")
MOST_LAYERS = 1024
DECODER, VISION = r"(?:^|\.)(?:language_model|model)\.layers\.(\d+)\.", r"(?:^|\.)visual\.blocks\.(\d+)\."


def check_model(model: str) -> None:
    """A model folder must hold a config, whole weights that it fits, a tokenizer, a chat template and,
    but for a text model, a processor.

    A hub id is not looked at. Raises UserError naming the file.
    """
    folder = Path(model)
    if not folder.is_dir():
        if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
            raise UserError(f"{model}: no such model folder; give a checkpoint folder or a hub id like org/name")
        return
    for names, what in (
        (("config.json",), "config"),
        *([(PROCESSOR_FILES, "processor")] if not reads_text_alone(model) else []),
        (TOKENIZER_FILES, "tokenizer"),
    ):
        if not any((folder / name).is_file() for name in names):
            raise UserError(
                f"{model}: holds no {what} ({' or '.join(names)}); save the model's {what} beside its weights"
            )
    for name in (*PROCESSOR_FILES, *TOKENIZER_FILES, "model.safetensors.index.json"):
        if (folder / name).exists() and files.read_object(folder / name) is None:
            raise UserError(f"{folder / name}: is torn, or no JSON; save the model again")
    if not any(
        _has_template(folder / name) for name in ("chat_template.jinja", "chat_template.json", *TOKENIZER_FILES)
    ):
        raise UserError(f"{model}: holds no chat template (chat_template.jinja); save the model's processor again")
    _fits(read_config(folder / "config.json"), _shapes(folder), folder)


def reads_text_alone(model: str) -> bool:
    """Whether a model folder or hub id is a causal language model without pictures, which has no processor.

    A folder without a configuration is none: who loads it says what is wrong. Raises OSError or ValueError for a hub
    id whose configuration cannot be read.
    """
    config = files.read_object(Path(model, "config.json")) or {}
    if Path(model).is_dir() and ("vision_config" in config or not isinstance(config.get("model_type"), str)):
        return False  # found without torch, which the next lines import

    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as WRITING
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WITH_PICTURES

    if Path(model).is_dir():
        return config["model_type"] in WRITING and config["model_type"] not in WITH_PICTURES
    return AutoConfig.from_pretrained(model).model_type not in WITH_PICTURES


def read_config(file: Path) -> dict[str, Any]:
    """The configuration of a model. Raises UserError where it is none, or one of absurd sizes."""
    config = files.read_object(file)
    if config is None or not isinstance(config.get("model_type"), str):
        raise UserError(f"{file}: is no model's configuration (JSON with a model_type); save the model again")
    for part, count in (("text_config", "num_hidden_layers"), ("vision_config", "depth")):
        found = _part(config, part).get(count, 1)
        if not isinstance(found, int) or not 0 < found <= MOST_LAYERS:
            raise UserError(f"{file}: {part}.{count} is {str(found)[:40]}, and no model has so many layers")
    return config


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _has_template(file: Path) -> bool:
    if file.suffix == ".jinja":
        return file.is_file() and bool(file.read_text(errors="replace").strip())
    return bool((files.read_object(file) or {}).get("chat_template"))


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Name to shape of all weights, from the files' headers. Raises UserError for a file that is torn or lacking."""
    found = sorted(folder.glob("model*.safetensors"))
    if not found:
        other = " (pickles, *.bin, are not loaded)" if any(folder.glob("*.bin")) else ""
        raise UserError(
            f"{folder}: holds no weights (model*.safetensors){other}; give a folder that a model was saved to"
        )
    index = (files.read_object(folder / "model.safetensors.index.json") or {}).get("weight_map")
    for name in set(index.values()) if isinstance(index, dict) else ():
        if not (folder / str(name)).is_file():
            raise UserError(f"{folder}: lacks {name}, which its index names; copy the model again")
    shapes: dict[str, list[int]] = {}
    for file in found:
        try:
            with safe_open(file, "numpy") as weights:
                shapes |= {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{file}: holds no weights, or is torn ({error}); copy or save the model again") from None
    return shapes


def _fits(config: Mapping[str, Any], shapes: Mapping[str, list[int]], folder: Path) -> None:
    """Raises UserError where the weights are of another size than the config, in what all families call alike."""
    text = _part(config, "text_config") or config
    wanted = [text.get("vocab_size"), text.get("hidden_size")]
    for name, shape in shapes.items():
        if name.endswith("embed_tokens.weight") and None not in wanted and shape != wanted:
            raise UserError(
                f"{folder}: {name} is of shape {shape}, and config.json says {wanted}; save the model again"
            )
    for part, count, pattern in (
        (text, "num_hidden_layers", DECODER),
        (_part(config, "vision_config"), "depth", VISION),
    ):
        there = {int(layer[1]) for name in shapes if (layer := re.search(pattern, name))}
        if there and count in part and max(there) + 1 < part[count]:
            raise UserError(
                f"{folder}: holds {max(there) + 1} layers, config.json says {count} {part[count]}; save the model again"
            )
