"""What stands around a prompt is the same for training, evaluation, lm-eval's tasks and the filter."""

from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.models.hf_vlms import HFMultimodalLM
from lm_eval.models.huggingface import HFLM
from transformers import AutoProcessor

from eval.core.errors import UserError
from eval.engines.chat import require_chat, say_around
from eval.settings import Chat
from runners.data.filter import Filter
from runners.data.prompts import messages
from runners.run.config import resolve
from runners.run.model import BASE

CHAT = Chat(system="Be brief.", thinking=True, template={"how": "hard"})
THINKS = "{% if enable_thinking %}<think>{{ how }}{% endif %}"
SYSTEM, ASKED = "<|im_start|>system\nBe brief.<|im_end|>\n", "<|im_start|>assistant\n<think>hard"
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def _processor() -> Any:
    processor = AutoProcessor.from_pretrained(BASE)
    processor.chat_template += THINKS
    processor.tokenizer.chat_template = processor.chat_template
    return processor


def test_every_prompt_is_that_of_training() -> None:
    processor = _processor()
    trained = processor.apply_chat_template(
        messages("<image>How many?", 1, CHAT.system),
        tokenize=False,
        add_generation_prompt=True,
        **CHAT.template_options,
    )
    say_around(CHAT, processor, "m")
    engine = SimpleNamespace(processor=processor, interleave=True, max_images=9)
    asked = HFMultimodalLM.apply_chat_template(engine, [{"role": "user", "content": "<image>How many?"}])  # type: ignore[arg-type]
    assert trained == asked == f"{SYSTEM}<|im_start|>user\n{PICTURE}How many?<|im_end|>\n{ASKED}"
    told = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<image>How many?"}]
    assert HFMultimodalLM.apply_chat_template(engine, told) == trained  # type: ignore[arg-type]
    settings = resolve(
        "cpu", "base", 0, ["model.system=Be brief.", "model.thinking=true", "model.template={how: hard}"]
    )
    row = {"id": "1", "question": "<image>How many?", "images": [b""], "answer": "2"}
    (question,) = Filter(settings, 1, 1, 1.0)._questions(engine, 0, [row])
    assert question.prompt.startswith(f"{SYSTEM}<|im_start|>user\n{PICTURE}How many?\n")
    assert question.prompt.endswith(ASKED)
    assert settings.evaluation.chat == CHAT
    assert Filter(settings, 1, 1, 1.0).identity()["chat"] == CHAT.model_dump()


def test_of_a_text_model() -> None:
    tokenizer = _processor().tokenizer
    say_around(CHAT, tokenizer, "m")
    engine = SimpleNamespace(tokenizer=tokenizer, chat_template_args={})
    asked = HFLM.apply_chat_template(engine, [{"role": "user", "content": "How many?"}])  # type: ignore[arg-type]
    assert asked == f"{SYSTEM}<|im_start|>user\nHow many?<|im_end|>\n{ASKED}"


def test_what_is_not_set_is_not_recorded() -> None:
    """So that results of before there were such settings stand beside others."""
    settings = resolve("cpu", "base", 0, []).evaluation
    assert settings.spoken == {}
    own = resolve("cpu", "base", 0, ["model.system=Be brief.", "eval.chat={}"]).evaluation
    assert own.spoken == {}


@pytest.mark.parametrize(
    ("template", "chat", "line"),
    [
        ("{{ messages[-1].content[0].text }}", Chat(template={"depth": 3}), "has no depth"),
        ("{{ messages[-1].content[0].text }}", Chat(system="Be brief."), "leaves model.system out"),
        ("{{ raise_exception('no system') }}", Chat(system="Be brief."), r"refuses model\.system .*no system"),
    ],
)
def test_what_a_template_does_not_have(template: str, chat: Chat, line: str) -> None:
    processor = _processor()
    processor.chat_template = template
    with pytest.raises(UserError, match=rf"^the chat template of m {line}"):
        require_chat(chat, processor, "m")
