"""A run that is killed goes on with the same command and ends as if nothing had happened."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from eval.core.errors import UserError
from runners.run.run_dir import RunDir
from runners.train import run as train_run
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


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunDir]:
    """A method's run that nothing happened to."""

    @cache
    def of(method: str) -> RunDir:
        run = RunDir(tmp_path_factory.mktemp("unbroken") / "run")
        assert train(small(method, *CHANGES, *METHODS[method]), run, "s")
        return run

    return of


def test_a_finished_run_goes_on_as_if_it_had_been_longer(tmp_path: Path, unbroken: Callable[[str], RunDir]) -> None:
    longer, short = (small("rlsd", *CHANGES, *METHODS["rlsd"], f"train.steps={steps}") for steps in (5, 2))
    extended = RunDir(tmp_path / "extended")
    assert train(short, extended, "s")
    assert train(longer, extended, "s")
    assert metrics(extended.path) == metrics(unbroken("rlsd").path)
    assert extended.info()["status"] == "done" and extended.info()["steps_done"] == 5


def test_a_mistake_in_the_data_leaves_no_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    with pytest.raises(UserError, match="no such file"):
        train(small("grpo", "data.source=./typo.jsonl"), run, "s")
    assert not (run.path / "run.json").exists()


def test_fewer_steps_than_asked_are_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = train_run.training_rows
    monkeypatch.setattr(train_run, "training_rows", lambda *given: rows(*given).select([0]))  # of two prompts a step
    run = RunDir(tmp_path / "r")
    with pytest.raises(UserError, match="training ended after 0 of 3 updates"):
        train(small("grpo"), run, "s")
    assert (run.info()["status"], run.info()["steps_done"]) == ("failed", 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_like_an_unbroken_one(tmp_path: Path, method: str, unbroken: Callable[[str], RunDir]) -> None:
    overrides = (*CHANGES, *METHODS[method])
    settings = small(method, *overrides)
    killed = RunDir(tmp_path / "s" / method / "seed0")
    _kill_after(3, method, tmp_path, overrides)
    assert killed.info()["status"] == "running"
    assert train(settings, killed, "s")
    assert metrics(killed.path) == metrics(unbroken(method).path)
    assert [row["step"] for row in metrics(killed.path)] == [1, 2, 3, 4, 5]
    assert killed.info()["status"] == "done"
    assert not train(settings, killed, "s"), "a finished run has nothing to do"


class Stop(TrainerCallback):
    """Breaks the run while a checkpoint is being completed."""

    def on_save(self, *_: Any, **__: Any) -> None:
        raise KeyboardInterrupt


def test_a_half_written_checkpoint_is_not_used(tmp_path: Path, unbroken: Callable[[str], RunDir]) -> None:
    settings, broken = small("rlsd", *CHANGES, *METHODS["rlsd"]), RunDir(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(settings, broken, "s", [Stop()])
    marker = broken.checkpoints / "checkpoint-2" / "complete.json"
    marker.unlink()
    assert broken.last_checkpoint() is None
    assert broken.info()["status"] == "interrupted"
    train(settings, broken, "s")
    assert metrics(broken.path) == metrics(unbroken("rlsd").path)


def test_same_seed_same_numbers_other_seed_others(tmp_path: Path) -> None:
    settings = small("rlsd", "train.steps=2")
    for name in ("a", "b"):
        train(settings, RunDir(tmp_path / name), "s")
    train(settings.model_copy(update={"seed": 1}), RunDir(tmp_path / "c"), "s")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert metrics(tmp_path / "a") != metrics(tmp_path / "c")


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    train(small("grpo", "train.steps=1"), RunDir(tmp_path / "a"), "s")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"train\.kl 0\.0 there, 0\.1 asked"):
        train(small("grpo", "train.steps=1", "train.kl=0.1"), RunDir(tmp_path / "a"), "s")
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not empty and not a run"):
        train(small("grpo"), RunDir(tmp_path), "s")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
