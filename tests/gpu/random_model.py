"""A random Qwen3-VL of the 2B model's shape, with the embedded model's words: nothing to download."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from runners.plan.model_shape import SHAPES
from runners.run.model import BASE

SHAPE = SHAPES / "Qwen3-VL-2B-Instruct.json"
TINY: dict[str, dict[str, Any]] = {  # over the shape's own, for a rehearsal without a GPU
    "text_config": {
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_interleaved": True,
            "mrope_section": [4, 2, 2],
        },
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    },
}
SIDE = 512  # pixels of a picture, 256 of the model's tokens


def save_model(folder: Path, tiny: bool, device: str, layers: int | None = None) -> None:
    """Write the model and a processor that shows each picture SIDE large. layers: of the text, where not all."""
    keys, base = json.loads(SHAPE.read_text()), json.loads((BASE / "config.json").read_text())
    for part in TINY if tiny else ():
        keys[part] |= TINY[part]
    if layers:
        keys["text_config"]["num_hidden_layers"] = layers
    keys |= {name: base[name] for name in base if name.endswith("_token_id")}
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**keys)).to(torch.bfloat16)
    processor = AutoProcessor.from_pretrained(BASE)
    vision, pixels = keys["vision_config"], (SIDE // 4 if tiny else SIDE) ** 2
    processor.image_processor.patch_size = vision["patch_size"]
    processor.image_processor.size = {"shortest_edge": pixels, "longest_edge": pixels}
    model.generation_config = GenerationConfig.from_pretrained(BASE)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
