"""The embedded base: a tiny Qwen3-VL with tokenizer and processor; weights and tokenizer are built from nothing.

Same classes, prompt layout and generation path as a released Qwen3-VL; only the size differs.
"""

import random
from collections.abc import Iterator

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

from runners.embedded.demonstrations import bench_examples, drawn_benches, examples
from runners.run.model import BASE

SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
PIECES = r"\([A-H]\) ?|\d+| ?[A-Za-z]+| ?\\|\s|[^\sA-Za-z\d]"  # what the tokenizer never merges across
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _corpus() -> Iterator[str]:
    rng = random.Random(0)
    yield from [" ".join(map(str, range(41)))] * 9  # every number that a chain may state, however rare
    for example in examples(rng, 3000, told=0.5):
        yield f"user\n{example.text}\nassistant\n{example.reply}"
    for bench in drawn_benches():
        for example in bench_examples(rng, bench, 1):
            yield f"{example.text}\n{example.reply}"


def build_processor() -> Qwen3VLProcessor:
    """Byte-level BPE over the demonstrations, and Qwen3-VL's processor for 64 x 64 pixels.

    A whole number is one token: a slip is then one wrong token, and credit has one place to go to.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        _corpus(),
        trainers.BpeTrainer(
            vocab_size=1024, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[t for t in SPECIAL if t not in ("<|im_end|>", "<|endoftext|>")],
        padding_side="left",
        model_max_length=2048,
    )
    patches = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessorPil(**patches, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}),
        tokenizer=fast,
        video_processor=Qwen3VLVideoProcessor(**patches),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(seed: int) -> Qwen3VLForConditionalGeneration:
    """New weights for the configuration in `base/`: 1.4 M parameters, 4 text layers of width 128, 2 vision layers of
    width 64 with deepstack."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig.from_pretrained(BASE))
    model.generation_config = GenerationConfig.from_pretrained(BASE)
    return model
