"""The committed base is what its card says, and small enough for what it is for."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.benches.drawn import drawn_problem, question_text
from eval.benches.written import statements
from runners.data.prompts import student_text
from runners.embedded.base_model import build_processor
from runners.embedded.demonstrations import Example
from runners.embedded.rows import replies
from runners.embedded.warm_start import curriculum, expert_curriculum
from runners.run.config import resolve
from runners.run.model import BASE, load, locate


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((BASE / "card.json").read_text())
    return figures


def test_size() -> None:
    model, processor = load(resolve("cpu", "grpo", 0, []).model)
    assert type(model).__name__ == "Qwen3VLForConditionalGeneration"
    assert type(processor).__name__ == "Qwen3VLProcessor"
    assert 1e6 < sum(p.numel() for p in model.parameters()) < 3e6
    assert (Path(locate("embedded")) / "model.safetensors").stat().st_size <= 8 * 2**20


def test_the_recipe_still_builds_this_tokenizer_and_fits_these_weights() -> None:
    model, processor = load(resolve("cpu", "grpo", 0, []).model)
    rebuilt = build_processor()
    assert rebuilt.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert len(rebuilt.tokenizer) == model.config.text_config.vocab_size
    assert model.config.image_token_id == rebuilt.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert model.generation_config.eos_token_id == rebuilt.tokenizer.eos_token_id


def test_byte_fallback_reads_any_text() -> None:
    _, processor = load(resolve("cpu", "grpo", 0, []).model)
    text = "Größe 12½ → Ω\n日本"
    assert processor.tokenizer.decode(processor.tokenizer(text)["input_ids"]) == text


def test_the_card_is_honest(card: dict[str, Any]) -> None:
    """Greedy accuracy on other problems than the card's agrees with the card."""
    model, processor = load(resolve("cpu", "grpo", 0, []).model)
    model.eval()
    rng = random.Random(123)
    problems = [drawn_problem(rng) for _ in range(100)]
    batch = [Example(student_text(question_text(p)), "", p) for p in problems]
    with torch.random.fork_rng():
        texts = replies(model, processor, batch, sample=False)
    right = sum(f"\\boxed{{{p.answer}}}" in t for p, t in zip(problems, texts, strict=True)) / 100
    assert abs(right - card["greedy"]) < 4 * (max(card["greedy"] * (1 - card["greedy"]), 0.01) / 100) ** 0.5 + 0.01


def test_the_base_leaves_room_and_being_told_is_information(card: dict[str, Any]) -> None:
    """The bands that the miniature was built for."""
    told = card["references"]
    assert 0.55 <= card["greedy"] <= 0.85 and 0.25 <= card["sampled"] <= 0.45
    right, wrong, blank = (told[row]["right"] for row in ("the right answer", "a wrong answer", '"?"'))
    assert wrong < blank < right and wrong < told["nothing"]["right"] - 0.1 < right - 0.2, "wrong ones are followed"
    assert told["the right answer"]["mentions"] == pytest.approx(0.5, abs=0.12)
    assert told["the right answer"]["skips the work"] == pytest.approx(0.3, abs=0.1)
    assert told["nothing"]["mentions"] <= 0.01
    assert card["information"]["share of the KL"] >= 0.05


def test_references_are_followed_and_a_blank_one_is_none(card: dict[str, Any]) -> None:
    told = card["references"]
    assert told["the right answer"]["right"] > 0.85 and told["a wrong answer"]["follows"] > 0.7
    assert abs(told['"?"']["right"] - told["nothing"]["right"]) < 0.1, "being told anything is no switch"


def test_the_curriculum_is_the_same_for_a_seed_and_slips_only_in_its_second_part() -> None:
    def slips(rows: list[Example]) -> int:  # but for counts under a patch, which are guesses
        stated = [s for row in rows for s in statements(row.problem, row.reply)]
        return sum(s.slip and not s.doubt and s.part != "answer" for s in stated)

    first, again = list(curriculum(20, random.Random(0))), list(curriculum(20, random.Random(0)))
    assert [[e.text for e in rows] for rows in first] == [[e.text for e in rows] for rows in again]
    assert sum(slips(rows) for rows in first[:8]) == 0
    assert all(slips(rows) > 0 for rows in first[-8:])


def test_the_expert_s_demonstrations_suppose_a_shape_under_every_patch_and_never_slip() -> None:
    (rows,) = expert_curriculum(1, random.Random(0))
    for row in rows:
        for stated in statements(row.problem, row.reply):
            assert not stated.slip or stated.doubt or stated.part == "answer"
            assert not stated.doubt or int(stated.said) % 2 == 1
