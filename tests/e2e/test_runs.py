"""Every method with adapters, without pictures, with two pictures an item, with each published variant."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from eval.core.errors import UserError
from methods import METHODS, SELF_CONTAINED
from runners.data.rewards import formatted
from runners.run.config import ModelSettings, variants
from runners.train import run as train
from tests.support.helpers import history_of, lottery, small

KINDS = {
    "lora": ("model.lora={rank: 4, alpha: 8}", "train.steps=2"),
    "text": ("data.source=synthetic-text",),
    "pairs": ("data.source=synthetic-pairs",),
}


@pytest.fixture(autouse=True)
def _lively_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lottery: 1.0})
    monkeypatch.setitem(train.REWARDS, "shaped", {lottery: 0.9, formatted: 0.1})


@pytest.mark.parametrize("method", SELF_CONTAINED)
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_trains_on_every_kind(tmp_path: Path, kind: str, method: str) -> None:
    settings = small(method, "train.steps=1", *KINDS[kind])
    rows = history_of(tmp_path, settings)
    assert len(rows) == settings.train.steps
    assert all(math.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in rows)
    prompts = (tmp_path / "prompts.txt").read_text()
    pictures = {"lora": 1, "text": 0, "pairs": 2}[kind]
    student, _, teacher = prompts.partition("# teacher")
    assert student.count("<|image_pad|>") == pictures
    if METHODS[method]().teachers:
        assert teacher.count("<|image_pad|>") == pictures, "the teacher sees the student's pictures"
        assert len(teacher) > len(student)


def test_what_the_system_says_and_the_template_s_options_are_read_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, shown = train.load, list[str]()

    def with_options(settings: ModelSettings) -> tuple[Any, Any]:
        model, processor = load(settings)
        processor.chat_template += "{% if enable_thinking %}<think>{{ how }}{% endif %}"
        decode = processor.tokenizer.decode
        prefill = model.prepare_inputs_for_generation

        def seen(ids: Any, *args: Any, **kwargs: Any) -> Any:
            shown.extend(decode(row) for row in ids)
            return prefill(ids, *args, **kwargs)

        model.prepare_inputs_for_generation = seen
        return model, processor

    monkeypatch.setattr(train, "load", with_options)
    asked = ("model.system=Be brief.", "model.thinking=true", "model.template={how: hard}", "train.steps=1")
    (row,) = history_of(tmp_path, small("opsd", *asked, "train.shared_prefix=false"))
    assert row["grad_norm"] > 0
    prompts = (tmp_path / "prompts.txt").read_text()
    assert prompts.count("<|im_start|>system\nBe brief.<|im_end|>") == prompts.count("<think>hard") == 2
    assert shown and all("system\nBe brief." in text and "<think>hard" in text for text in shown)
    with pytest.raises(UserError, match="the chat template of embedded has no depth"):
        history_of(tmp_path / "unknown", small("opsd", "model.template={depth: 3}"))


VARIANTS = [f"{m}@{v}" for m in SELF_CONTAINED for v in variants(m)]
ALIKE = ("gamma-0.001", "gamma-0.01", "gamma-0.5")  # but for that number as gamma-0.1


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.endswith(ALIKE)])
def test_every_variant_trains(tmp_path: Path, name: str) -> None:
    settings = small(name, "train.steps=1", "train.generations=8")
    rows = history_of(tmp_path, settings)
    assert math.isfinite(rows[0]["loss"])
    assert rows[0]["grad_norm"] > 0


def test_several_updates_on_the_same_rollouts(tmp_path: Path) -> None:
    """The policy moves away from what it sampled with, and the importance ratio says so."""
    settings = small("sdpo@official", "train.steps=2", "train.generations=8", "train.checkpoint_every=2")
    rows = history_of(tmp_path, settings, saved=True)
    assert len(rows) == 2, "one line for each generation, whatever the number of updates"
    assert rows[0]["bench/importance"] != pytest.approx(1.0, abs=1e-6)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("checkpoint-*")) == ["checkpoint-16"]


def test_the_shaped_reward_adds_a_tenth_for_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(completions: list[object], **_: object) -> list[float]:
        return [0.0] * len(completions)

    def always(completions: list[object], **_: object) -> list[float]:
        return [1.0] * len(completions)

    monkeypatch.setitem(
        train.REWARDS, "shaped", dict(zip((never, always), train.REWARDS["shaped"].values(), strict=True))
    )
    history_of(tmp_path, small("sdpo", "train.steps=1", "train.reward=shaped"))
    table = pd.concat(pd.read_parquet(p) for p in (tmp_path / "completions").glob("*.parquet"))
    assert table["reward"].tolist() == pytest.approx([0.1] * len(table))
    assert table["told"].isna().all(), "a sibling succeeds by its accuracy, not by its form"


def test_a_group_without_a_success_gives_sdpo_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lambda completions, **_: [0.0] * len(completions): 1.0})
    rows = history_of(tmp_path, small("sdpo", "train.steps=1"))
    assert rows[0]["loss"] == 0
    assert rows[0]["grad_norm"] == 0


def test_a_group_without_differences_gives_rlsd_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lambda completions, **_: [1.0] * len(completions): 1.0})
    rows = history_of(tmp_path, small("rlsd", "train.steps=1"))
    assert rows[0]["grad_norm"] == 0


def test_lora_trains_the_adapter_alone_and_shares_the_base(tmp_path: Path) -> None:
    history_of(tmp_path, small("rlsd", *KINDS["lora"], "train.steps=1"), saved=True)
    checkpoint = next((tmp_path / "checkpoints").glob("checkpoint-*"))
    saved = load_file(checkpoint / "teacher.safetensors")
    assert saved
    assert all("lora_" in name for name in saved), "the teacher's copy is the adapter"
    assert sum(t.numel() for t in saved.values()) * 4 < 1_000_000
    assert all(t.dtype == torch.float32 for t in saved.values())
