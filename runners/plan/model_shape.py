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
    """Sizes of a model, with the adapters of the run if it has any. Weights are counted in parameters."""

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
    merge: int  # patches per picture token; 0, as all of the picture tower, where a plan does not know its patches
    uncounted: str = ""  # in words, what is not in these numbers

    @property
    def kv_values_per_token(self) -> int:
        """Numbers that a key-value cache keeps per token: a key and a value in every layer."""
        return 2 * self.layers * self.keys


def model_shape(settings: ModelSettings) -> ModelShape:
    """Raises UserError where no configuration is at hand, or one from which no model can be built and counted."""
    return _measured(settings.path, settings.lora)


@cache
def _measured(path: str, lora: LoraSettings | None) -> ModelShape:
    keys = read_config(path)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WITH_PICTURES

    kind = keys["model_type"]
    with loading(path), torch.device("meta"):
        config = AutoConfig.for_model(**keys)
        made = AutoModelForImageTextToText if kind in WITH_PICTURES else AutoModelForCausalLM
        model: Any = made.from_config(config)
        model.tie_weights()
        base = sum(p.numel() for p in model.parameters())
        if lora is not None:
            from peft import get_peft_model

            get_peft_model(model, adapters(lora, model))  # puts the adapters into the layers of `model` itself
    text, t = model.get_decoder(), config.get_text_config()
    layers = getattr(text, "layers", None)
    if layers is None:
        raise UserError(f"a plan cannot count a {kind}: its decoder has no `layers`")
    seen = _vision(model, config)
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight
    total, inside = _size(model), _size(layers) + seen.pop("inside")
    experts = getattr(t, "num_experts_per_tok", None) or 1
    head_dim = getattr(t, "head_dim", None) or t.hidden_size // t.num_attention_heads
    return ModelShape(
        base=base,
        total=total,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        decoder_linear=_linear(layers) + _experts(layers, t),
        head=head.numel(),
        head_trained=head.requires_grad,
        largest_layer=max(_size(layer) for layer in layers),
        outside_layers=total - inside - (1 if tied else 2) * head.numel(),
        layers=t.num_hidden_layers,
        hidden=t.hidden_size,
        ffn=(getattr(t, "moe_intermediate_size", None) or t.intermediate_size) * experts,
        queries=t.num_attention_heads * head_dim,
        keys=(getattr(t, "num_key_value_heads", None) or t.num_attention_heads) * head_dim,
        vocabulary=t.vocab_size,
        uncounted=_uncounted(kind, kind in WITH_PICTURES and not seen["merge"], t),
        **seen,
    )


def _vision(model: Any, config: Any) -> dict[str, int]:
    """The fields of a picture tower that is built as Qwen3-VL's, and how many parameters are in its layers; all 0 of
    any other, whose patches a plan does not know."""
    tower: Any = getattr(model.model, "visual", None)
    fields = [name for name in ModelShape._fields if name.startswith(("vision_", "merge", "patch"))]
    if config.model_type not in ("qwen3_vl", "qwen3_vl_moe", "qwen3_5"):
        return dict.fromkeys([*fields, "inside"], 0)
    v, mergers = config.vision_config, [tower.merger, *getattr(tower, "deepstack_merger_list", [])]
    return {
        "inside": _size(tower.blocks),
        "vision_linear": _linear(tower.blocks, tower.patch_embed),
        "merger_linear": _linear(*mergers),
        "vision_layers": v.depth,
        "vision_hidden": v.hidden_size,
        "vision_ffn": v.intermediate_size,
        "mergers": len(mergers),
        "patch": v.patch_size,
        "patch_values": v.in_channels * v.temporal_patch_size * v.patch_size**2,
        "merge": v.spatial_merge_size**2,
    }


def _uncounted(kind: str, pictures: bool, text: Any) -> str:
    """In words, what of the model is not in the numbers, or not as it is; empty where all is."""
    said = [f"the pictures of a {kind}: its weights are counted, its patches and their activations are not"] * pictures
    if {*(getattr(text, "layer_types", None) or ["full_attention"])} != {"full_attention"}:
        said.append(f"that not all layers of a {kind} attend to the whole context: keys and values are at most these")
    return "; ".join(said)


def _linear(*modules: Any) -> int:
    """Weights that multiply each token that goes through."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D  # of GPT-2: a linear layer

    kinds = nn.Linear | nn.Conv3d | Conv1D
    return sum(m.weight.numel() for part in modules for m in part.modules() if isinstance(m, kinds))


def _experts(layers: Any, text: Any) -> int:
    """Weights of experts, of which a token goes through some: all in one tensor of three axes."""
    several = sum(p.numel() for p in layers.parameters() if p.dim() == 3)
    number = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    return several * text.num_experts_per_tok // number if several and number else 0


def _size(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())


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
    return model_folder.read_config(file)
