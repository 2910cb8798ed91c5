"""The sizes of the model that a run would train, counted on torch's meta device: no weights, no GPU, no network."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from eval.core.errors import UserError
from eval.engines import model_folder
from eval.engines.load import loading
from runners.run.config import LoraSettings, ModelSettings
from runners.run.model import BASE, adapters

BYTES = {"float32": 4, "bfloat16": 2}
SHAPES = Path(__file__).parent / "shapes"  # one configuration per hub id; `source` in it says where it comes from


class ModelShape(NamedTuple):
    """Sizes of a Qwen3-VL, with the adapters of the run if it has any. Weights are counted in parameters."""

    base: int  # without adapters
    total: int
    trained: int
    decoder_linear: int  # weights that multiply every text token
    vision_linear: int  # weights that multiply every patch, the embedding of patches included
    merger_linear: int  # weights that multiply every picture token (spatial_merge_size ** 2 patches)
    head: int  # vocabulary x hidden
    head_trained: bool
    largest_layer: int  # of the decoder, all its parameters
    outside_layers: int  # what belongs to no layer, but for the embedding and the head
    layers: int
    hidden: int
    ffn: int
    queries: int  # query heads x head_dim
    keys: int  # key-value heads x head_dim
    vocabulary: int
    vision_layers: int
    vision_hidden: int
    vision_ffn: int
    mergers: int  # the last one and those of the deepstack
    patch: int  # side in pixels
    patch_values: int  # numbers per patch
    merge: int  # patches per picture token

    @property
    def kv_values_per_token(self) -> int:
        """Numbers that a key-value cache keeps per token: a key and a value in every layer."""
        return 2 * self.layers * self.keys


def model_shape(settings: ModelSettings) -> ModelShape:
    """Raises UserError where no configuration is at hand, or one that is no Qwen3-VL."""
    return _measured(settings.path, settings.lora)


@cache
def _measured(path: str, lora: LoraSettings | None) -> ModelShape:
    keys = read_config(path)
    import torch
    from torch import nn
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    with loading(path), torch.device("meta"):
        config = Qwen3VLConfig.from_dict(keys)
        model: Any = Qwen3VLForConditionalGeneration(config)
        model.tie_weights()
        base = sum(p.numel() for p in model.parameters())
        if lora is not None:
            from peft import get_peft_model

            get_peft_model(model, adapters(lora, model))  # puts the adapters into the layers of `model` itself

    def linear(*modules: nn.Module) -> int:
        return sum(m.weight.numel() for part in modules for m in part.modules() if isinstance(m, nn.Linear | nn.Conv3d))

    def size(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    text, vision = model.model.language_model, model.model.visual
    mergers = [vision.merger, *vision.deepstack_merger_list]
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight
    t, v = config.text_config, config.vision_config
    total, layers = size(model), size(text.layers) + size(vision.blocks)
    return ModelShape(
        base=base,
        total=total,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        decoder_linear=linear(text.layers),
        vision_linear=linear(vision.blocks, vision.patch_embed),
        merger_linear=linear(*mergers),
        head=head.numel(),
        head_trained=head.requires_grad,
        largest_layer=max(size(layer) for layer in text.layers),
        outside_layers=total - layers - (1 if tied else 2) * head.numel(),
        layers=t.num_hidden_layers,
        hidden=t.hidden_size,
        ffn=t.intermediate_size,
        queries=t.num_attention_heads * t.head_dim,
        keys=t.num_key_value_heads * t.head_dim,
        vocabulary=t.vocab_size,
        vision_layers=v.depth,
        vision_hidden=v.hidden_size,
        vision_ffn=v.intermediate_size,
        mergers=len(mergers),
        patch=v.patch_size,
        patch_values=v.in_channels * v.temporal_patch_size * v.patch_size**2,
        merge=v.spatial_merge_size**2,
    )


def read_config(path: str) -> dict[str, Any]:
    """config.json of a folder, of the embedded model, or of a hub id that `shapes/` has."""
    folder = BASE if path == "embedded" else Path(path)
    known = {f"Qwen/{file.stem}": file for file in sorted(SHAPES.glob("*.json"))}
    file = folder / "config.json" if folder.is_dir() else known.get(path)
    if file is None or not file.is_file():
        raise UserError(
            f"no config.json of model {path!r} at hand: set model.path to a folder that has one, or to one of "
            f"{', '.join(known)}"
        )
    keys = model_folder.read_config(file)
    if keys["model_type"] != "qwen3_vl":
        raise UserError(f"{file} is not the configuration of a Qwen3-VL, the one family that a plan can count")
    return keys
