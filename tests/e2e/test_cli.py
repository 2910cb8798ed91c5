"""What a user can get wrong at the command line: one line, exit code 2, nothing half-written."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.warm import cli


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--method", "ppo"], "unknown method 'ppo': choose one of grpo"),
        (["train", "--method", "rlsd", "--preset", "huge"], "unknown preset 'huge'"),
        (["train", "--method", "rlsd", "--set", "train.stepps=3"], "unknown key 'train.stepps'"),
        (["train", "--method", "rlsd", "--set", "params.clipp=3"], "unknown key 'clipp'"),
        (["train", "--method", "rlsd", "--set", "train.updates=5"], "do not divide into"),
        (["sweep", "--seeds", "one"], "--seeds 'one'"),
        (["eval", "--bench", "mmlu", "--model", "embedded"], "unknown bench 'mmlu'"),
        (["eval"], "say what to evaluate"),
        (["eval", "--run", "nowhere"], "nowhere is not a run"),
        (["eval", "--model", "./nowhere"], "./nowhere: no such model folder"),
        (
            ["train", "--method", "rlsd", "--set", "train.step=3"],
            "--set: unknown key 'train.step'; did you mean train.steps?",
        ),
        (["eval", "--run", "nowhere", "--out", "x"], "--out goes with --model"),
        (["eval", "--model", "embedded", "--at", "all"], "--at goes with --run"),
        (["train", "--method", "grpo", "--set", "train.report_to=[nobody]"], "nobody is not installed here"),
        (["report", "nowhere"], "nowhere"),
        (["report", "nowhere", "--filter", "rlsd"], "--filter 'rlsd': write it as method=grpo,rlsd"),
        (["compare", "nowhere", "nowhere"], "nowhere is no run"),
        (["replies", "nowhere"], "nowhere is no run"),
        (["watch", "nowhere"], "no runs below nowhere"),
        (["list", "nowhere"], "no runs below nowhere"),
        (["show", "nowhere"], "nowhere is not a run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_answered_in_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    result = cli(tmp_path, *words)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in result.stderr + result.stdout
    assert list(tmp_path.rglob("*")) == [], "nothing may be left behind"


def test_a_model_folder_without_a_processor(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (model / name).write_bytes((ROOT / "runners" / "embedded" / "base" / name).read_bytes())
    for words in (["eval", "--model", str(model)], ["train", "--method", "grpo", "--set", f"model.path={model}"]):
        result = cli(tmp_path, *words)
        assert result.returncode == 2
        assert "processor" in result.stderr.splitlines()[-1]
        assert {p.name for p in tmp_path.iterdir()} == {"model"}


def test_an_unwritable_or_foreign_output_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    result = cli(tmp_path, "train", "--method", "grpo")
    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    foreign = tmp_path / "mine" / "default" / "grpo" / "seed0"
    foreign.mkdir(parents=True)
    (foreign / "thesis.tex").write_text("mine")
    result = cli(tmp_path, "train", "--method", "grpo", "--out", "mine")
    assert result.returncode == 2
    assert "not empty and not a run" in result.stderr
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]


def test_help_is_quick_and_lists_the_commands(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "cli.py"), "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    for verb in (
        "train",
        "sweep",
        "eval",
        "report",
        "compare",
        "replies",
        "watch",
        "doctor",
        "demo",
        "list",
        "show",
        "base",
    ):
        assert f" {verb} " in result.stdout
