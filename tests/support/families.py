"""A tiny random checkpoint of each family, built without a network: their own classes, processors and config files."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import Fuse
from transformers import PreTrainedTokenizerFast

PAD, END, START = "<|endoftext|>", "<|im_end|>", "<|im_start|>"
QWEN = {n: f"<|{n}|>" for n in ("vision_start", "vision_end", "image_pad", "video_pad")}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}PICTURE{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT_ONLY = TEMPLATE.replace("PICTURE", "")
SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "pad_token_id": 0, "eos_token_id": 1,
    "bos_token_id": None,
}  # fmt: skip
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
ROTARY = {"rope_type": "default", "rope_theta": 10000.0}
MROPE = {**ROTARY, "mrope_section": [2, 1, 1]}


def tokenizer(*extra: str, **named: str) -> PreTrainedTokenizerFast:
    """One character a token, and the family's special ones, some under names that its processor asks for."""
    special = [PAD, END, START, *dict.fromkeys([*extra, *named.values()])]
    letters = sorted({*string.printable, *special})
    ids = {token: i for i, token in enumerate([*special, *(t for t in letters if t not in special)])}
    core = Tokenizer(models.WordLevel(ids, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = Fuse()
    core.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=END, pad_token=PAD, unk_token="?", padding_side="left",
        extra_special_tokens=named, model_max_length=2048,
    )  # fmt: skip


def _grids(cls: Any, video: Any, image: Any = hf.Qwen2VLImageProcessor, names: Any = None) -> Any:
    shape = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2}
    images = image(**shape, size={"shortest_edge": 256, "longest_edge": 2048})
    words = tokenizer(*(names or QWEN.values()))
    return cls(image_processor=images, tokenizer=words, video_processor=video(**shape))


def _qwen(config: Any, model: Any, vision: dict[str, Any], processor: Any = None, **text: Any) -> tuple[Any, Any, str]:
    made = _grids(processor or hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor if processor is None else hf.Qwen2VLVideoProcessor)
    start, end, image, video = (made.tokenizer.convert_tokens_to_ids(t) for t in QWEN.values())
    sizes = {**SIZES, "vocab_size": len(made.tokenizer), "rope_parameters": {**MROPE, **text.pop("rope", {})}, **text}
    built = config(
        text_config={**sizes, "tie_word_embeddings": False}, tie_word_embeddings=False, image_token_id=image, video_token_id=video,
        vision_config={"num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
        vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    return model(built), made, f"{QWEN['vision_start']}{QWEN['image_pad']}{QWEN['vision_end']}"


QWEN3_VISION = {
    "depth": 2, "hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32, "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1],
}  # fmt: skip
INTERLEAVED = {"head_dim": 8, "rope": {"mrope_interleaved": True}}


def qwen2_vl() -> Any:
    vision = {"depth": 2, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    return _qwen(hf.Qwen2VLConfig, hf.Qwen2VLForConditionalGeneration, vision, hf.Qwen2VLProcessor)


def qwen2_5_vl() -> Any:
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32, "window_size": 32}
    vision["fullatt_block_indexes"] = [1]
    return _qwen(hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLForConditionalGeneration, vision, hf.Qwen2_5_VLProcessor)


def qwen3_vl() -> Any:
    return _qwen(hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration, QWEN3_VISION, **INTERLEAVED)


def qwen3_vl_moe() -> Any:
    experts = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    return _qwen(hf.Qwen3VLMoeConfig, hf.Qwen3VLMoeForConditionalGeneration, QWEN3_VISION, **INTERLEAVED, **experts)


def qwen3_5() -> Any:
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
    layers = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
    vision = {k: v for k, v in QWEN3_VISION.items() if k != "deepstack_visual_indexes"}
    rope = {"rope": {"mrope_interleaved": True, "partial_rotary_factor": 0.5}, "head_dim": 16}
    return _qwen(hf.Qwen3_5Config, hf.Qwen3_5ForConditionalGeneration, vision, **linear, **layers, **rope)


def glm4v() -> Any:
    names = [f"<|{n}|>" for n in ("image", "video", "begin_of_image", "end_of_image", "begin_of_video", "end_of_video")]
    made = _grids(hf.Glm4vProcessor, hf.Glm4vVideoProcessor, hf.Glm4vImageProcessor, names)
    fields = ("image_token_id", "video_token_id", "image_start_token_id", "image_end_token_id", "video_start_token_id", "video_end_token_id")
    text = {k: v for k, v in SIZES.items() if k != "bos_token_id"}
    config = hf.Glm4vConfig(
        text_config={**text, "vocab_size": len(made.tokenizer), "rope_parameters": {**MROPE, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]}},
        vision_config={"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "patch_size": 8, "out_hidden_size": 32, "image_size": 64},
        **dict(zip(fields, made.tokenizer.convert_tokens_to_ids(names), strict=True)),
    )  # fmt: skip
    model = hf.Glm4vForConditionalGeneration(config)
    for weight in model.model.visual.merger.parameters():  # or pictures would hardly be seen
        weight.data.mul_(4)
    return model, made, "<|begin_of_image|><|image|><|end_of_image|>"


def _idefics(config: Any, model: Any, processor: Any, images: Any, **video: Any) -> Any:
    extra = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    words = tokenizer(*extra, *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)))
    image = words.convert_tokens_to_ids("<image>")
    built = config(
        text_config={**SIZES, "model_type": "llama", "vocab_size": len(words)}, vision_config={**VISION, "image_size": 32},
        scale_factor=2, image_token_id=image, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    cut = images(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    return model(built), processor(image_processor=cut, tokenizer=words, image_seq_len=4, **video), "<image>"


def idefics3() -> Any:
    return _idefics(hf.Idefics3Config, hf.Idefics3ForConditionalGeneration, hf.Idefics3Processor, hf.Idefics3ImageProcessor)


def smolvlm() -> Any:
    return _idefics(
        hf.SmolVLMConfig, hf.SmolVLMForConditionalGeneration, hf.SmolVLMProcessor, hf.SmolVLMImageProcessor,
        video_processor=hf.SmolVLMVideoProcessor(),
    )  # fmt: skip


CLIP = {**VISION, "model_type": "clip_vision_model", "image_size": 32, "projection_dim": 16}
SIGLIP = {**VISION, "model_type": "siglip_vision_model", "image_size": 32, "vision_use_head": False}
SQUARE = {"height": 32, "width": 32}


def llava() -> Any:
    words = tokenizer("<image>")
    config = hf.LlavaConfig(
        text_config={**SIZES, "model_type": "llama", "vocab_size": len(words)}, vision_config=CLIP, vision_feature_layer=-1,
        image_token_index=words.convert_tokens_to_ids("<image>"), vision_feature_select_strategy="default", image_seq_length=16,
    )  # fmt: skip
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    made = hf.LlavaProcessor(
        image_processor=images, tokenizer=words, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )  # fmt: skip
    return hf.LlavaForConditionalGeneration(config), made, "<image>"


def llava_next() -> Any:
    words, cuts = tokenizer("<image>"), [[32, 64], [64, 32], [64, 64]]
    config = hf.LlavaNextConfig(
        text_config={**SIZES, "model_type": "llama", "vocab_size": len(words)}, vision_config=CLIP, vision_feature_layer=-1,
        image_token_index=words.convert_tokens_to_ids("<image>"), vision_feature_select_strategy="default", image_grid_pinpoints=cuts,
    )  # fmt: skip
    images = hf.LlavaNextImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE, image_grid_pinpoints=cuts)
    made = hf.LlavaNextProcessor(
        image_processor=images, tokenizer=words, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )  # fmt: skip
    return hf.LlavaNextForConditionalGeneration(config), made, "<image>"


def llava_onevision() -> Any:
    words, cuts = tokenizer("<image>", "<video>"), [[32, 32], [32, 64], [64, 32], [64, 64]]
    image, video = words.convert_tokens_to_ids(["<image>", "<video>"])
    config = hf.LlavaOnevisionConfig(
        text_config={**SIZES, "model_type": "qwen2", "vocab_size": len(words)}, vision_config=SIGLIP, vision_feature_layer=-1,
        image_token_index=image, video_token_index=video, vision_feature_select_strategy="full", image_grid_pinpoints=cuts,
    )  # fmt: skip
    made = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=cuts), tokenizer=words,
        video_processor=hf.LlavaOnevisionVideoProcessor(), num_image_tokens=16, vision_feature_select_strategy="full",
    )  # fmt: skip
    return hf.LlavaOnevisionForConditionalGeneration(config), made, "<image>"


def internvl() -> Any:
    words = tokenizer(start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>")
    vision = {k: v for k, v in VISION.items() if k != "patch_size"}
    config = hf.InternVLConfig(
        text_config={**SIZES, "model_type": "qwen2", "vocab_size": len(words)}, image_seq_length=4, downsample_ratio=0.5, tie_word_embeddings=False,
        vision_config={**vision, "image_size": (32, 32), "patch_size": (8, 8)}, image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )  # fmt: skip
    made = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4), tokenizer=words,
        video_processor=hf.InternVLVideoProcessor(size=SQUARE), image_seq_length=4,
    )  # fmt: skip
    return hf.InternVLForConditionalGeneration(config), made, "<IMG_CONTEXT>\n"


def gemma3() -> Any:
    names = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    words = tokenizer(**names)
    image, begin, end = words.convert_tokens_to_ids([*names.values()])
    text = {"head_dim": 8, "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8}
    config = hf.Gemma3Config(
        text_config={**SIZES, **text, "vocab_size": len(words) + 1}, vision_config={**SIGLIP, "patch_size": 4}, mm_tokens_per_image=16,
        boi_token_index=begin, eoi_token_index=end, image_token_index=image,
    )  # fmt: skip
    model = hf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.3)
    made = hf.Gemma3Processor(image_processor=hf.Gemma3ImageProcessor(size=SQUARE), tokenizer=words, image_seq_length=16)
    return model, made, "<start_of_image>"


def gemma4() -> Any:
    names = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    names |= {"audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"}
    words = tokenizer("<|video|>", **names)
    fields = ("image_token_id", "boi_token_id", "eoi_token_id", "audio_token_id", "boa_token_id", "eoa_token_index")
    size = len(words) + 1
    text = {
        "head_dim": 8, "global_head_dim": 8, "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"],
        "final_logit_softcapping": 0.5, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": size,
        "use_bidirectional_attention": "vision", "vocab_size": size,
    }  # fmt: skip
    vision = {**VISION, "patch_size": 4, "num_key_value_heads": 2, "head_dim": 8, "pooling_kernel_size": 2, "position_embedding_size": 256}
    config = hf.Gemma4Config(
        text_config={**SIZES, **text}, vision_config=vision, audio_config=None, video_token_id=words.convert_tokens_to_ids("<|video|>"),
        **dict(zip(fields, words.convert_tokens_to_ids([*names.values()]), strict=True)),
    )  # fmt: skip
    shape = {"patch_size": 4, "pooling_kernel_size": 2}
    made = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(), image_processor=hf.Gemma4ImageProcessor(**shape, max_soft_tokens=70),
        tokenizer=words, video_processor=hf.Gemma4VideoProcessor(**shape), image_seq_length=70,
    )  # fmt: skip
    return hf.Gemma4ForConditionalGeneration(config), made, "<|image|>"


def lfm2_vl() -> Any:
    names = {"image_token": "<image>", "image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>", "image_thumbnail": "<|img_thumbnail|>"}
    words = tokenizer(*(f"<|img_row_{r}_col_{c}|>" for r in (1, 2) for c in (1, 2)), **names)
    vision = {**VISION, "model_type": "siglip2_vision_model", "num_patches": 64}
    config = hf.Lfm2VlConfig(
        text_config={**SIZES, "model_type": "lfm2", "vocab_size": len(words), "layer_types": ["conv", "full_attention"]},
        vision_config=vision, image_token_id=words.convert_tokens_to_ids("<image>"), projector_hidden_size=32, downsample_factor=2,
    )  # fmt: skip
    images = hf.Lfm2VlImageProcessor(
        tile_size=64, encoder_patch_size=8, downsample_factor=2, do_image_splitting=False, min_image_tokens=4, max_image_tokens=16, max_num_patches=64
    )  # fmt: skip
    return hf.Lfm2VlForConditionalGeneration(config), hf.Lfm2VlProcessor(image_processor=images, tokenizer=words), "<image>"


def _pixtral(config: Any, model: Any, merge: int, **more: Any) -> Any:
    words = tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    vision = {**VISION, "model_type": "pixtral", "head_dim": 8, "image_size": 64}
    built = config(
        text_config={**SIZES, "model_type": "mistral", "vocab_size": len(words), "head_dim": 8}, vision_config=vision,
        image_token_index=words.convert_tokens_to_ids("[IMG]"), vision_feature_layer=-1, **more,
    )  # fmt: skip
    images = hf.PixtralImageProcessor(size={"longest_edge": 64}, patch_size={"height": 8, "width": 8})
    return model(built), hf.PixtralProcessor(image_processor=images, tokenizer=words, patch_size=8, spatial_merge_size=merge), "[IMG]"


def pixtral() -> Any:
    return _pixtral(hf.LlavaConfig, hf.LlavaForConditionalGeneration, 1, vision_feature_select_strategy="full")


def mistral3() -> Any:
    return _pixtral(hf.Mistral3Config, hf.Mistral3ForConditionalGeneration, 2, spatial_merge_size=2)


def paligemma() -> Any:
    words = tokenizer("<image>")
    text = {"model_type": "gemma2", "head_dim": 8, "query_pre_attn_scalar": 8, "vocab_size": len(words) + 1100}
    config = hf.PaliGemmaConfig(
        text_config={**SIZES, **text}, vision_config=SIGLIP, image_token_index=words.convert_tokens_to_ids("<image>"), projection_dim=32
    )  # fmt: skip
    words.bos_token = START
    images = hf.SiglipImageProcessor(size=SQUARE)
    images.image_seq_length = 16
    return hf.PaliGemmaForConditionalGeneration(config), hf.PaliGemmaProcessor(image_processor=images, tokenizer=words), "<image>"


def _text(config: Any, model: Any, **more: Any) -> Any:
    words = tokenizer()
    return model(config(**{**SIZES, "vocab_size": len(words), **more})), words, ""


def llama() -> Any:
    return _text(hf.LlamaConfig, hf.LlamaForCausalLM)


def qwen2() -> Any:
    return _text(hf.Qwen2Config, hf.Qwen2ForCausalLM)


def qwen3() -> Any:
    return _text(hf.Qwen3Config, hf.Qwen3ForCausalLM, head_dim=8)


def gemma2() -> Any:
    more = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 32, "final_logit_softcapping": 0.5}
    return _text(hf.Gemma2Config, hf.Gemma2ForCausalLM, **more)


def granite() -> Any:
    return _text(hf.GraniteConfig, hf.GraniteForCausalLM, logits_scaling=4.0)


def gpt2() -> Any:
    words = tokenizer()
    config = hf.GPT2Config(vocab_size=len(words), n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1, pad_token_id=0, **{f"{n}_pdrop": 0.0 for n in ("attn", "embd", "resid")})
    return hf.GPT2LMHeadModel(config), words, ""


Builder = Callable[[], tuple[Any, Any, str]]
VLMS: dict[str, Builder] = {
    f.__name__: f
    for f in (
        qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_vl_moe, qwen3_5, glm4v, idefics3, smolvlm, llava, llava_next, llava_onevision,
        pixtral, mistral3, internvl, gemma3, gemma4, lfm2_vl, paligemma,
    )
}  # fmt: skip
TEXTS: dict[str, Builder] = {f.__name__: f for f in (llama, qwen2, qwen3, gemma2, granite, gpt2)}


def build(name: str, folder: Path) -> Path:
    """The family's checkpoint, saved. Its weights are larger than at initialisation: a wrong token must be visible."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, processor, picture = (VLMS | TEXTS)[name]()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 1, 0
    processor.chat_template = TEMPLATE.replace("PICTURE", picture)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
