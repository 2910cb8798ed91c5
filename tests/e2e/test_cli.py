"""What a user can get wrong at the command line: one line, exit code 2, nothing half-written."""

import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.warm import cli


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
        "probe",
        "theory",
        "credit",
    ):
        assert f" {verb} " in result.stdout
