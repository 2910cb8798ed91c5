"""What the engine is asked and how its answer is read, with an engine that writes a picture's tokens as vLLM does."""

from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from eval.core.errors import UserError
from runners.rollout.vllm import read_as_trained
from runners.run.config import resolve
from runners.run.run_dir import RunDir
from runners.train.trl_config import trl_config

IMAGE, START, END = 5, 3, 4
RED = Image.new("RGB", (8, 8), "red")


class Engine:
    """Writes `size` tokens for each one of a picture."""

    def __init__(self, size: int) -> None:
        self.size, self.calls = size, list[str]()
        self.llm_engine = SimpleNamespace(reset_encoder_cache=lambda: self.calls.append("pictures"))

    def generate(self, prompts: list[dict[str, Any]], sampling_params: Any) -> list[Any]:
        self.calls.append(f"{len(prompts)} requests")
        read = [[[t] * (self.size if t == IMAGE else 1) for t in prompt["prompt_token_ids"]] for prompt in prompts]
        return [SimpleNamespace(prompt_token_ids=[*chain(*ids)], outputs=["said"]) for ids in read]

    def reset_prefix_cache(self) -> None:
        self.calls.append("prompts")


def ask(engine: Engine, image_token: int | None = IMAGE) -> list[Any]:
    read_as_trained(engine, image_token, together=False)
    picture = [START, *[IMAGE] * 4, END]
    rows = [
        {"prompt_token_ids": [7, *picture, 8, *picture], "multi_modal_data": {"image": [RED, RED]}},
        {"prompt_token_ids": [7, 7, 8]},
    ]
    return engine.generate(rows, sampling_params=SimpleNamespace(temperature=1.0))


def test_pictures_tokens_are_not_written_twice() -> None:
    outputs = ask(Engine(size=4))
    assert [len(o.prompt_token_ids) for o in outputs] == [14, 3]
    with pytest.raises(UserError, match=r"38 tokens, .*; in training 14 tokens"):
        ask(Engine(size=4), image_token=None)


def test_a_picture_of_another_size_is_found() -> None:
    with pytest.raises(UserError, match=r"another prompt .* \(38 tokens, 32 .* in training 14 tokens, 8 .*vllm=false"):
        ask(Engine(size=16))


def test_what_older_weights_saw_is_forgotten_with_what_they_read() -> None:
    engine = Engine(size=4)
    ask(engine)
    engine.reset_prefix_cache()
    assert engine.calls == ["2 requests", "pictures", "prompts"]


def test_banned_tokens_are_numbers(tmp_path: Path) -> None:
    """As text vLLM would compare them with its vocabulary's size."""
    told = trl_config(resolve("paper", "grpo", 0, []), RunDir(tmp_path), [5, 6])
    assert told.generation_kwargs == {"logit_bias": {5: -100.0, 6: -100.0}}
