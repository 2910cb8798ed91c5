"""A run that is killed goes on with the same command and ends as if nothing had happened."""

import time
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from eval.core.errors import UserError
from runners.run.run_dir import RunDir
from runners.train.run import train
from tests.support.helpers import SMALL, metrics, small
from tests.support.paths import ROOT
from tests.support.warm import started

CHANGES = ("train.steps=5", "train.checkpoint_every=2")
METHODS = {"rlsd": ("params.sync=3",), "sdpo": ("params.success=0.0",)}  # a hard snapshot and a moving average


def _kill_after(lines: int, method: str, out: Path, overrides: tuple[str, ...]) -> None:
    """Start the command and kill it without warning once its metrics have that many lines."""
    pairs = [part for pair in (*SMALL, *overrides) for part in ("--set", pair)]
    (out / "said").mkdir()
    process = started(ROOT, out / "said", "train", "--method", method, "--suite", "s", "--out", str(out), *pairs)
    file = out / "s" / method / "seed0" / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while not (file.exists() and file.read_text().count("\n") >= lines):
        assert process.exitcode is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_like_an_unbroken_one(tmp_path: Path, method: str) -> None:
    overrides = (*CHANGES, *METHODS[method])
    settings = small(method, *overrides)
    unbroken = RunDir(tmp_path / "unbroken")
    assert train(settings, unbroken, "s")
    killed = RunDir(tmp_path / "s" / method / "seed0")
    _kill_after(3, method, tmp_path, overrides)
    assert killed.info()["status"] == "running"
    assert train(settings, killed, "s")
    assert metrics(killed.path) == metrics(unbroken.path)
    assert [row["step"] for row in metrics(killed.path)] == [1, 2, 3, 4, 5]
    assert killed.info()["status"] == "done"
    assert not train(settings, killed, "s"), "a finished run has nothing to do"


class Stop(TrainerCallback):
    """Breaks the run while a checkpoint is being completed."""

    def on_save(self, *_: Any, **__: Any) -> None:
        raise KeyboardInterrupt


def test_a_half_written_checkpoint_is_not_used(tmp_path: Path) -> None:
    settings = small("rlsd", *CHANGES)
    unbroken, broken = RunDir(tmp_path / "unbroken"), RunDir(tmp_path / "broken")
    train(settings, unbroken, "s")
    with pytest.raises(KeyboardInterrupt):
        train(settings, broken, "s", [Stop()])
    marker = broken.checkpoints / "checkpoint-2" / "complete.json"
    marker.unlink()
    assert broken.last_checkpoint() is None
    assert broken.info()["status"] == "interrupted"
    train(settings, broken, "s")
    assert metrics(broken.path) == metrics(unbroken.path)


def test_same_seed_same_numbers_other_seed_others(tmp_path: Path) -> None:
    settings = small("rlsd")
    for name in ("a", "b"):
        train(settings, RunDir(tmp_path / name), "s")
    train(settings.model_copy(update={"seed": 1}), RunDir(tmp_path / "c"), "s")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert metrics(tmp_path / "a") != metrics(tmp_path / "c")


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    train(small("grpo", "train.steps=1"), RunDir(tmp_path / "a"), "s")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"train\.steps 1 there, 2 asked"):
        train(small("grpo", "train.steps=2"), RunDir(tmp_path / "a"), "s")
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not empty and not a run"):
        train(small("grpo"), RunDir(tmp_path), "s")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
