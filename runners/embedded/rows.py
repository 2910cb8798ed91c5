"""Demonstrations as a batch of the embedded model, and its replies to them."""

from collections.abc import Sequence

import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from runners.data.prompts import messages
from runners.embedded.base_model import SPECIAL
from runners.embedded.demonstrations import Example


def encode(processor: Qwen3VLProcessor, batch: Sequence[Example], replies: bool) -> dict[str, torch.Tensor]:
    """Left-padded model inputs (B, S); with replies also `labels`, -100 everywhere else."""
    render = processor.apply_chat_template
    prompts = [render(messages(e.text, 1), tokenize=False, add_generation_prompt=True) for e in batch]
    ends = [f"{e.reply}<|im_end|>" if replies else "" for e in batch]
    images = [[e.problem.scene.picture()] for e in batch]
    texts = [p + r for p, r in zip(prompts, ends, strict=True)]
    inputs = dict(processor(images=images, text=texts, padding=True, padding_side="left", return_tensors="pt"))
    if replies:
        labels_BS = torch.full_like(inputs["input_ids"], -100)
        for i, end in enumerate(ends):
            n = len(processor.tokenizer(end)["input_ids"])
            labels_BS[i, -n:] = inputs["input_ids"][i, -n:]
        inputs["labels"] = labels_BS
    return inputs


@torch.no_grad()
def replies(
    model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, batch: Sequence[Example], sample: bool
) -> list[str]:
    """One reply per example, greedy or sampled at temperature 1."""
    banned = [processor.tokenizer.convert_tokens_to_ids(t) for t in SPECIAL[3:]]
    how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {"do_sample": False}
    out = []
    for start in range(0, len(batch), 100):
        inputs = encode(processor, batch[start : start + 100], False)
        ids = model.generate(**inputs, max_new_tokens=96, suppress_tokens=banned, **how)
        out += processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return out
