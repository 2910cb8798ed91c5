"""Settings: precedence, unknown keys, and presets that say what they are."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from eval.core.differences import differences
from eval.core.errors import UserError
from methods import METHODS
from runners.run import config
from runners.run.config import parse_overrides, preset_names, resolve
from runners.run.registry import build_method, complete


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_resolves_for_every_method(preset: str, method: str) -> None:
    settings, built = complete(resolve(preset, method, 0, []))
    rollouts = settings.train.prompts * settings.train.generations
    assert rollouts % (settings.train.processes * settings.train.micro_batch) == 0
    assert built.name == method
    assert set(settings.params) == {field.name for field in fields(built)}


def test_the_paper_preset_holds_the_papers_values() -> None:
    train = resolve("paper", "rlsd", 0, []).train
    assert (train.prompts, train.generations, train.learning_rate) == (256, 8, 1e-6)
    assert (train.epsilon, train.epsilon_high, train.kl, train.temperature) == (0.2, 0.28, 0.0, 1.0)
    assert (train.max_prompt_tokens, train.max_completion_tokens) == (4096, 4096)


def test_every_value_of_the_paper_preset_names_its_source() -> None:
    for line in (config.PRESETS / "paper.yaml").read_text().splitlines():
        if line.startswith("  ") and not line.endswith(("data: hub", "engine: vllm")):
            assert any(mark in line for mark in ("[paper]", "[code]", "[ours]")), line


def test_overrides_win_over_the_preset_and_the_preset_over_its_base() -> None:
    paper, cpu = resolve("paper", "grpo", 0, []), resolve("cpu", "grpo", 0, [])
    assert cpu.train.learning_rate != paper.train.learning_rate
    assert cpu.train.epsilon_high == paper.train.epsilon_high
    assert resolve("cpu", "grpo", 0, ["train.learning_rate=3e-4"]).train.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.stepps=3"], "unknown key 'train.stepps'"),
        (["colour=red"], "unknown key 'colour'"),
        (["train.steps=many"], "train.steps"),
        (["train.steps"], "key=value"),
        (["eval.benches=[mmlu]"], "eval.benches"),
    ],
)
def test_bad_overrides_are_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve("cpu", "grpo", 0, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_preset_and_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose one of cpu, lora, paper"):
        resolve("huge", "grpo", 0, [])
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="does not hold settings"):
        resolve(str(tmp_path / "list.yaml"), "grpo", 0, [])
    (tmp_path / "mine.yaml").write_text("delta_to: cpu\ntrain: {steps: 7}\n")
    assert resolve(str(tmp_path / "mine.yaml"), "grpo", 0, []).train.steps == 7


def test_method_parameters_are_checked() -> None:
    assert build_method("rlsd", {"clip": 0.1}).clip == 0.1  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="unknown key 'clipp'"):
        build_method("rlsd", {"clipp": 0.1})
    with pytest.raises(UserError, match="unknown method 'ppo'"):
        build_method("ppo", {})


def test_an_outside_method_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom methods.rlsd import RLSD\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(RLSD):\n    name, label = 'mine', 'Mine'\n    extra: float = 2.0\n"
    )
    method = build_method(f"{file}:Mine", {"extra": 3.0, "clip": 0.3})
    assert (method.name, method.clip, method.extra) == ("mine", 0.3, 3.0)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="no class 'Yours'"):
        build_method(f"{file}:Yours", {})
    with pytest.raises(UserError, match="no file"):
        build_method(f"{tmp_path / 'none.py'}:Mine", {})


def test_differences_name_the_key_and_settings_survive_their_file(tmp_path: Path) -> None:
    a = resolve("cpu", "rlsd", 0, [])
    b = resolve("cpu", "rlsd", 0, ["train.steps=9", "params.clip=0.1"])
    found = differences(a.model_dump(mode="json"), b.model_dump(mode="json"))
    assert found == ["params.clip None there, 0.1 asked", "train.steps 40 there, 9 asked"]
    (tmp_path / "settings.yaml").write_text(config.dump(b))
    assert config.load(tmp_path / "settings.yaml") == b
    with pytest.raises(ValidationError):
        b.train.steps = 3  # type: ignore[misc]


def test_nested_overrides() -> None:
    assert parse_overrides(["a.b=1", "a.c=[x, y]", "d=null"]) == {"a": {"b": 1, "c": ["x", "y"]}, "d": None}
