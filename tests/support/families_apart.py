"""Tiny models of families whose pictures are not patches with grids."""

from typing import Any

import torch
import transformers as hf
from transformers.models.smolvlm import processing_smolvlm as smolvlm_processing

from tests.support.family_parts import SIZES, START, VISION, tokenizer

Made = tuple[Any, Any, str]  # model, processor, and how its chat template places a picture


def _idefics(config: Any, model: Any, processor: Any, images: Any, **video: Any) -> Made:
    extra = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    words = tokenizer(*extra, *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)))
    image = words.convert_tokens_to_ids("<image>")
    built = config(
        text_config={**SIZES, "model_type": "llama", "vocab_size": len(words)},
        vision_config={**VISION, "image_size": 32},
        scale_factor=2,
        image_token_id=image,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    cut = images(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    return model(built), processor(image_processor=cut, tokenizer=words, image_seq_len=4, **video), "<image>"


def idefics3() -> Made:
    return _idefics(
        hf.Idefics3Config, hf.Idefics3ForConditionalGeneration, hf.Idefics3Processor, hf.Idefics3ImageProcessor
    )


def smolvlm() -> Made:
    smolvlm_processing.num2words = str  # a package that its processor asks for and calls for films alone
    return _idefics(
        hf.SmolVLMConfig,
        hf.SmolVLMForConditionalGeneration,
        hf.SmolVLMProcessor,
        hf.SmolVLMImageProcessor,
        video_processor=hf.SmolVLMVideoProcessor(),
    )


CLIP = {**VISION, "model_type": "clip_vision_model", "image_size": 32, "projection_dim": 16}
SIGLIP = {**VISION, "model_type": "siglip_vision_model", "image_size": 32, "vision_use_head": False}
SQUARE = {"height": 32, "width": 32}


def llava() -> Made:
    words = tokenizer("<image>")
    config = hf.LlavaConfig(
        text_config={**SIZES, "model_type": "llama", "vocab_size": len(words)},
        vision_config=CLIP,
        vision_feature_layer=-1,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        image_seq_length=16,
    )
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    made = hf.LlavaProcessor(
        image_processor=images,
        tokenizer=words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return hf.LlavaForConditionalGeneration(config), made, "<image>"


def llava_next() -> Made:
    words, cuts = tokenizer("<image>"), [[32, 64], [64, 32], [64, 64]]
    config = hf.LlavaNextConfig(
        text_config={**SIZES, "model_type": "llama", "vocab_size": len(words)},
        vision_config=CLIP,
        vision_feature_layer=-1,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        image_grid_pinpoints=cuts,
    )
    images = hf.LlavaNextImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE, image_grid_pinpoints=cuts)
    made = hf.LlavaNextProcessor(
        image_processor=images,
        tokenizer=words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return hf.LlavaNextForConditionalGeneration(config), made, "<image>"


def llava_onevision() -> Made:
    words, cuts = tokenizer("<image>", "<video>"), [[32, 32], [32, 64], [64, 32], [64, 64]]
    image, video = words.convert_tokens_to_ids(["<image>", "<video>"])
    config = hf.LlavaOnevisionConfig(
        text_config={**SIZES, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config=SIGLIP,
        vision_feature_layer=-1,
        image_token_index=image,
        video_token_index=video,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=cuts,
    )
    made = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=cuts),
        tokenizer=words,
        video_processor=hf.LlavaOnevisionVideoProcessor(),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), made, "<image>"


def internvl() -> Made:
    words = tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    vision = {k: v for k, v in VISION.items() if k != "patch_size"}
    config = hf.InternVLConfig(
        text_config={**SIZES, "model_type": "qwen2", "vocab_size": len(words)},
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
        vision_config={**vision, "image_size": (32, 32), "patch_size": (8, 8)},
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )
    made = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4),
        tokenizer=words,
        video_processor=hf.InternVLVideoProcessor(size=SQUARE),
        image_seq_length=4,
    )
    return hf.InternVLForConditionalGeneration(config), made, "<IMG_CONTEXT>\n"


def gemma3() -> Made:
    names = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    words = tokenizer(**names)
    image, begin, end = words.convert_tokens_to_ids([*names.values()])
    text = {
        "head_dim": 8,
        "sliding_window": 32,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 8,
    }
    config = hf.Gemma3Config(
        text_config={**SIZES, **text, "vocab_size": len(words) + 1},
        vision_config={**SIGLIP, "patch_size": 4},
        mm_tokens_per_image=16,
        boi_token_index=begin,
        eoi_token_index=end,
        image_token_index=image,
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.3)
    made = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size=SQUARE), tokenizer=words, image_seq_length=16
    )
    return model, made, "<start_of_image>"


def gemma4() -> Made:
    names = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    names |= {"audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"}
    words = tokenizer("<|video|>", **names)
    fields = ("image_token_id", "boi_token_id", "eoi_token_id", "audio_token_id", "boa_token_id", "eoa_token_index")
    size = len(words) + 1
    text = {
        "head_dim": 8,
        "global_head_dim": 8,
        "sliding_window": 32,
        "layer_types": ["sliding_attention", "full_attention"],
        "final_logit_softcapping": 0.5,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": size,
        "use_bidirectional_attention": "vision",
        "vocab_size": size,
    }
    vision = {
        **VISION,
        "patch_size": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "pooling_kernel_size": 2,
        "position_embedding_size": 256,
    }
    config = hf.Gemma4Config(
        text_config={**SIZES, **text},
        vision_config=vision,
        audio_config=None,
        video_token_id=words.convert_tokens_to_ids("<|video|>"),
        **dict(zip(fields, words.convert_tokens_to_ids([*names.values()]), strict=True)),
    )
    shape = {"patch_size": 4, "pooling_kernel_size": 2}
    made = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(),
        image_processor=hf.Gemma4ImageProcessor(**shape, max_soft_tokens=70),
        tokenizer=words,
        video_processor=hf.Gemma4VideoProcessor(**shape),
        image_seq_length=70,
    )
    return hf.Gemma4ForConditionalGeneration(config), made, "<|image|>"


def lfm2_vl() -> Made:
    names = {
        "image_token": "<image>",
        "image_start_token": "<|image_start|>",
        "image_end_token": "<|image_end|>",
        "image_thumbnail": "<|img_thumbnail|>",
    }
    words = tokenizer(*(f"<|img_row_{r}_col_{c}|>" for r in (1, 2) for c in (1, 2)), **names)
    vision = {**VISION, "model_type": "siglip2_vision_model", "num_patches": 64}
    config = hf.Lfm2VlConfig(
        text_config={
            **SIZES,
            "model_type": "lfm2",
            "vocab_size": len(words),
            "layer_types": ["conv", "full_attention"],
        },
        vision_config=vision,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
        downsample_factor=2,
    )
    images = hf.Lfm2VlImageProcessor(
        tile_size=64,
        encoder_patch_size=8,
        downsample_factor=2,
        do_image_splitting=False,
        min_image_tokens=4,
        max_image_tokens=16,
        max_num_patches=64,
    )
    return (
        hf.Lfm2VlForConditionalGeneration(config),
        hf.Lfm2VlProcessor(image_processor=images, tokenizer=words),
        "<image>",
    )


def _pixtral(config: Any, model: Any, merge: int, **more: Any) -> Made:
    words = tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    vision = {**VISION, "model_type": "pixtral", "head_dim": 8, "image_size": 64}
    built = config(
        text_config={**SIZES, "model_type": "mistral", "vocab_size": len(words), "head_dim": 8},
        vision_config=vision,
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        **more,
    )
    images = hf.PixtralImageProcessor(size={"longest_edge": 64}, patch_size={"height": 8, "width": 8})
    return (
        model(built),
        hf.PixtralProcessor(image_processor=images, tokenizer=words, patch_size=8, spatial_merge_size=merge),
        "[IMG]",
    )


def pixtral() -> Made:
    return _pixtral(hf.LlavaConfig, hf.LlavaForConditionalGeneration, 1, vision_feature_select_strategy="full")


def mistral3() -> Made:
    return _pixtral(hf.Mistral3Config, hf.Mistral3ForConditionalGeneration, 2, spatial_merge_size=2)


def paligemma() -> Made:
    words = tokenizer("<image>")
    text = {"model_type": "gemma2", "head_dim": 8, "query_pre_attn_scalar": 8, "vocab_size": len(words) + 1100}
    config = hf.PaliGemmaConfig(
        text_config={**SIZES, **text},
        vision_config=SIGLIP,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        projection_dim=32,
    )
    words.bos_token = START
    images = hf.SiglipImageProcessor(size=SQUARE)
    images.image_seq_length = 16
    return (
        hf.PaliGemmaForConditionalGeneration(config),
        hf.PaliGemmaProcessor(image_processor=images, tokenizer=words),
        "<image>",
    )


APART = (
    idefics3,
    smolvlm,
    llava,
    llava_next,
    llava_onevision,
    pixtral,
    mistral3,
    internvl,
    gemma3,
    gemma4,
    lfm2_vl,
    paligemma,
)
