"""Two commands on one run: one works, the other is told by whom; and how a run that is stopped says so."""

import filecmp
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.core.errors import UserError
from runners.launch.evaluate import evaluate_run
from runners.run.run_dir import RunDir
from runners.train.run import train
from tests.support.helpers import SMALL, metrics, small
from tests.support.paths import ROOT
from tests.support.warm import cli, started

MANY = (*SMALL, "train.steps=400", "train.checkpoint_every=2", "train.prompts=1", "train.max_completion_tokens=4")


def _train(out: Path, said: str, overrides: tuple[str, ...] = SMALL) -> Any:
    (out / said).mkdir()
    pairs = [part for pair in overrides for part in ("--set", pair)]
    return started(ROOT, out / said, "train", "--method", "grpo", "--suite", "s", "--out", str(out), *pairs)


def _run(out: Path) -> RunDir:
    return RunDir(out / "s" / "grpo" / "seed0")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _complaint(out: Path, said: str) -> str:
    """The last line, and the only one of ours: a library may advise before."""
    *others, line = (out / said / "stderr").read_text().strip().splitlines()
    assert all(other.startswith("[transformers]") for other in others)
    return line


def one_of_two(tmp_path: Path, alone: RunDir, later_s: float) -> None:
    """Two commands begin a run; one trains it, the other gets a line, and all is as if it had been alone."""
    first = _train(tmp_path, "first")
    time.sleep(later_s)
    second = _train(tmp_path, "second")
    for process in (first, second):
        process.join()
    codes = {"first": first.exitcode, "second": second.exitcode}
    if "already done" in (tmp_path / "second" / "stdout").read_text():  # it came too late to be in the way
        assert codes == {"first": 0, "second": 0}
        return
    assert sorted(codes.values()) == [0, 2]
    (refused,) = (name for name, code in codes.items() if code)
    trained = second if refused == "first" else first
    assert f"in use by process {trained.pid} on " in _complaint(tmp_path, refused)
    assert f"kill {trained.pid}" in _complaint(tmp_path, refused)
    run = _run(tmp_path)
    assert (run.info()["status"], run.info()["steps_done"]) == ("done", 3)
    assert metrics(run.path) == metrics(alone.path)
    names = [sorted(str(p.relative_to(r.path)) for p in r.path.rglob("*")) for r in (run, alone)]
    assert names[0] == names[1]
    weights = "checkpoints/checkpoint-3/model.safetensors"
    assert filecmp.cmp(run.path / weights, alone.path / weights, shallow=False)


def test_of_two_commands_one_trains_as_if_alone(tmp_path: Path, alone: RunDir) -> None:
    """Given at once; the next test has a later one, tests/faults/every.py has more."""
    one_of_two(tmp_path, alone, 0.0)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = RunDir(tmp_path_factory.mktemp("alone") / "run")
    assert train(small("grpo"), run, "s")
    return run


def test_while_one_trains_nobody_else_does_until_it_is_killed(
    tmp_path: Path,
) -> None:
    process, run = _train(tmp_path, "first", MANY), _run(tmp_path)
    _until(lambda: run.last_step() > 2)
    settings = small("grpo", *MANY)
    with pytest.raises(UserError, match=rf"in use by process {process.pid} on [^\n]+$"):
        train(settings, run, "s")
    with pytest.raises(UserError, match=rf"in use by process {process.pid} on [^\n]+$"):
        evaluate_run(run, settings.eval)
    assert run.status() == "running"
    process.kill()
    process.join()
    assert (run.info()["status"], run.status()) == ("running", "interrupted")
    assert json.loads(run.lock.read_text())["pid"] == process.pid
    steps = run.last_step()
    again = _train(tmp_path, "again", MANY)
    _until(lambda: run.last_step() > steps + 1)
    assert run.status() == "running"
    again.kill()
    again.join()
    assert [row["step"] for row in metrics(run.path)] == [*range(1, run.last_step() + 1)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_one_line(tmp_path: Path, number: int, code: int) -> None:
    process, run = _train(tmp_path, "said", MANY), _run(tmp_path)
    _until(lambda: run.last_step() > 1)
    os.kill(process.pid, number)
    os.kill(process.pid, number)  # a terminal and a parent both ask
    process.join()
    assert process.exitcode == code
    assert _complaint(tmp_path, "said") == f"interrupted at step {run.last_step()}; the same command goes on"
    assert (run.info()["status"], run.info()["reason"], run.lock.exists()) == ("interrupted", None, False)
    listed = cli(ROOT, "list", str(tmp_path))
    assert "interrupt" in listed.stdout


def test_a_signal_to_a_sweep_ends_its_jobs_too(tmp_path: Path) -> None:
    pairs = [part for pair in MANY for part in ("--set", pair)]
    (tmp_path / "said").mkdir()
    words = ["sweep", "--methods", "grpo", "--suite", "s", "--out", str(tmp_path), "--no-eval", *pairs]
    process, run = started(ROOT, tmp_path / "said", *words), _run(tmp_path)
    _until(lambda: run.last_step() > 1)
    again = cli(ROOT, *words)
    assert again.returncode == 1
    assert "in use by process" in again.stdout + again.stderr
    process.terminate()
    process.join()
    assert process.exitcode == 143
    assert _complaint(tmp_path, "said") == "interrupted; the same command goes on"
    assert run.info()["status"] == "interrupted"
    before = run.last_step()
    time.sleep(0.5)
    assert run.last_step() == before
