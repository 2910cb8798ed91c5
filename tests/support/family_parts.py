"""What the tiny checkpoints of families.py share: sizes, a chat template, a tokenizer of one character a token."""

import string

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
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}
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
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        unk_token="?",
        padding_side="left",
        extra_special_tokens=named,
        model_max_length=2048,
    )
