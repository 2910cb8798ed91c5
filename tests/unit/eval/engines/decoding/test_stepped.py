"""The evaluation's loop against transformers' own, on the embedded base."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from eval.core.errors import UserError
from eval.core.images import Picture
from eval.engines.decoding import stepped
from eval.engines.hf import TransformersEngine
from eval.engines.load import loaded_engine
from eval.engines.requests import Question
from eval.settings import EvalSettings
from tests.support.paths import ROOT

BASE = str(ROOT / "runners" / "embedded" / "base")
SAMPLING: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0, "presence_penalty": 0.0},
    "sampled": {"temperature": 1.5, "top_p": 1.0, "top_k": 0, "presence_penalty": 0.0},
    "cut": {"temperature": 1.2, "top_p": 0.9, "top_k": 20, "presence_penalty": 1.0},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[TransformersEngine]:
    with loaded_engine(BASE, EvalSettings(max_new_tokens=24, batch_size=16, device="cpu"), 1) as loaded:
        yield loaded


def questions(engine: TransformersEngine) -> list[Question]:
    """Of no picture, one and two, of unequal sizes, and of unequal lengths."""
    asked, numbers = [], random.Random(0)
    for row in range(12):
        sizes = [(48, 48), (64, 32)][: row % 3]
        content = [{"type": "image"}] * len(sizes) + [{"type": "text", "text": "How many red shapes? " * (1 + row % 4)}]
        prompt = engine.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        drawn = [Image.frombytes("RGB", size, numbers.randbytes(3 * size[0] * size[1])) for size in sizes]
        asked.append(Question(row, 0, prompt, [Picture(image) for image in drawn]))
    return asked


@pytest.mark.parametrize("sampling", SAMPLING)
def test_replies_are_those_of_generate(engine: TransformersEngine, monkeypatch: Any, sampling: str) -> None:
    monkeypatch.setattr(stepped, "TOGETHER", 5)
    engine.settings = engine.settings.model_copy(update=SAMPLING[sampling])
    asked, replies = questions(engine), {}
    for engine.stepped in (True, False):
        assert engine.applied()["decoding"] == ("stepped" if engine.stepped else "generate")
        replies[engine.stepped] = engine._generate(asked)
    assert replies[True] == replies[False]
    assert len({reply.text for reply in replies[True]}) > 3
    assert len({reply.tokens for reply in replies[True]}) > 1  # rows have left before others


def test_a_model_of_nan_is_one_line(engine: TransformersEngine) -> None:
    engine.stepped = True
    norm = engine.model.model.language_model.norm.weight
    kept = norm.detach().clone()
    with torch.no_grad():
        norm.fill_(torch.nan)
        with pytest.raises(UserError, match="NaN"):
            engine._generate(questions(engine)[:2])
        norm.copy_(kept)
