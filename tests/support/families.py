"""A tiny random checkpoint of each family, built without a network: their own classes, processors and config files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.support.families_apart import APART, Made
from tests.support.family_parts import MROPE, QWEN, SIZES, TEMPLATE, tokenizer


def _grids(cls: Any, video: Any, image: Any = hf.Qwen2VLImageProcessor, names: Any = None) -> Any:
    shape = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2}
    images = image(**shape, size={"shortest_edge": 256, "longest_edge": 2048})
    words = tokenizer(*(names or QWEN.values()))
    return cls(image_processor=images, tokenizer=words, video_processor=video(**shape))


def _qwen(config: Any, model: Any, vision: dict[str, Any], processor: Any = None, **text: Any) -> Made:
    made = _grids(
        processor or hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor if processor is None else hf.Qwen2VLVideoProcessor
    )
    start, end, image, video = (made.tokenizer.convert_tokens_to_ids(t) for t in QWEN.values())
    sizes = {**SIZES, "vocab_size": len(made.tokenizer), "rope_parameters": {**MROPE, **text.pop("rope", {})}, **text}
    built = config(
        text_config={**sizes, "tie_word_embeddings": False},
        tie_word_embeddings=False,
        image_token_id=image,
        video_token_id=video,
        vision_config={"num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    return model(built), made, f"{QWEN['vision_start']}{QWEN['image_pad']}{QWEN['vision_end']}"


QWEN3_VISION = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "out_hidden_size": 32,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1],
}
INTERLEAVED = {"head_dim": 8, "rope": {"mrope_interleaved": True}}


def qwen2_vl() -> Made:
    vision = {"depth": 2, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    return _qwen(hf.Qwen2VLConfig, hf.Qwen2VLForConditionalGeneration, vision, hf.Qwen2VLProcessor)


def qwen2_5_vl() -> Made:
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32, "window_size": 32}
    vision["fullatt_block_indexes"] = [1]
    return _qwen(hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLForConditionalGeneration, vision, hf.Qwen2_5_VLProcessor)


def qwen3_vl() -> Made:
    return _qwen(hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration, QWEN3_VISION, **INTERLEAVED)


def qwen3_vl_moe() -> Made:
    experts = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    return _qwen(hf.Qwen3VLMoeConfig, hf.Qwen3VLMoeForConditionalGeneration, QWEN3_VISION, **INTERLEAVED, **experts)


def qwen3_5() -> Made:
    linear = {
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
    vision = {k: v for k, v in QWEN3_VISION.items() if k != "deepstack_visual_indexes"}
    rope = {"rope": {"mrope_interleaved": True, "partial_rotary_factor": 0.5}, "head_dim": 16}
    return _qwen(hf.Qwen3_5Config, hf.Qwen3_5ForConditionalGeneration, vision, **linear, **layers, **rope)


def glm4v() -> Made:
    names = [f"<|{n}|>" for n in ("image", "video", "begin_of_image", "end_of_image", "begin_of_video", "end_of_video")]
    made = _grids(hf.Glm4vProcessor, hf.Glm4vVideoProcessor, hf.Glm4vImageProcessor, names)
    fields = (
        "image_token_id",
        "video_token_id",
        "image_start_token_id",
        "image_end_token_id",
        "video_start_token_id",
        "video_end_token_id",
    )
    text = {k: v for k, v in SIZES.items() if k != "bos_token_id"}
    config = hf.Glm4vConfig(
        text_config={
            **text,
            "vocab_size": len(made.tokenizer),
            "rope_parameters": {**MROPE, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "image_size": 64,
        },
        **dict(zip(fields, made.tokenizer.convert_tokens_to_ids(names), strict=True)),
    )
    model = hf.Glm4vForConditionalGeneration(config)
    for weight in model.model.visual.merger.parameters():  # or pictures would hardly be seen
        weight.data.mul_(2)
    return model, made, "<|begin_of_image|><|image|><|end_of_image|>"


def _text(config: Any, model: Any, **more: Any) -> Made:
    words = tokenizer()
    return model(config(**{**SIZES, "vocab_size": len(words), **more})), words, ""


def llama() -> Made:
    return _text(hf.LlamaConfig, hf.LlamaForCausalLM)


def qwen2() -> Made:
    return _text(hf.Qwen2Config, hf.Qwen2ForCausalLM)


def qwen3() -> Made:
    return _text(hf.Qwen3Config, hf.Qwen3ForCausalLM, head_dim=8)


def gemma2() -> Made:
    more = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 32, "final_logit_softcapping": 0.5}
    return _text(hf.Gemma2Config, hf.Gemma2ForCausalLM, **more)


def granite() -> Made:
    return _text(hf.GraniteConfig, hf.GraniteForCausalLM, logits_scaling=4.0)


def gpt2() -> Made:
    words = tokenizer()
    config = hf.GPT2Config(
        vocab_size=len(words),
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
        **{f"{n}_pdrop": 0.0 for n in ("attn", "embd", "resid")},
    )
    return hf.GPT2LMHeadModel(config), words, ""


GRIDS = (qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_vl_moe, qwen3_5, glm4v)
VLMS: dict[str, Callable[[], Made]] = {family.__name__: family for family in (*GRIDS, *APART)}
TEXTS: dict[str, Callable[[], Made]] = {
    family.__name__: family for family in (llama, qwen2, qwen3, gemma2, granite, gpt2)
}


def build(name: str, folder: Path) -> Path:
    """The family's checkpoint, saved. Its weights are larger than at initialisation: a wrong token must be visible."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, processor, picture = (VLMS | TEXTS)[name]()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.mul_(3)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 1, 0
    processor.chat_template = TEMPLATE.replace("PICTURE", picture)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
