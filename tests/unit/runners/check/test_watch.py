"""Watching a suite from its files."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from eval.core import progress
from eval.core.errors import UserError
from runners.check import watch
from runners.check.watch import standing, watch_suite
from runners.run import lock
from runners.run.config import resolve
from runners.run.run_dir import RunDir, run_of


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = run_of(tmp_path, "mine", "rlsd", 3)
    found.open(resolve("cpu", "rlsd", 3, ["train.steps=7"]), "RLSD", "mine", "embedded")
    found.metrics.write_text('{"step": 1, "reward": 0.25}\n{"step": 2, "reward": 0.5}\n')
    return found


def test_where_a_run_stands(run: RunDir) -> None:
    assert standing(run) == (2, 7, "interrupted, reward 0.500")
    with lock.held(run.lock):
        assert standing(run)[2] == "running, reward 0.500"


def test_lines_come_until_nothing_runs(tmp_path: Path, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: float) -> None:
        with run.metrics.open("a") as stream:
            stream.write('{"step": 3, "reward": 0.75}\n')
        if run.last_step() == 3 and run.metrics.read_text().count("\n") > 3:
            run.update(status="done")

    # In this module alone: a thread that another test has left would wait by it, too, and write a line more.
    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=wait))
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    text = io.StringIO()
    with lock.held(run.lock):
        watch_suite(tmp_path, Console(file=text, width=100))
    lines = text.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["RLSD seed 3: 2/7", *["RLSD seed 3: 3/7"] * 3]
    statuses = ["running, reward 0.500", "running, reward 0.750", *["done, reward 0.750"] * 2]
    assert [line[-len(status) :] for line, status in zip(lines, statuses, strict=True)] == statuses
    assert " left, " in lines[-1]


def test_once_is_a_line_a_run(tmp_path: Path, run: RunDir) -> None:
    text = io.StringIO()
    with lock.held(run.lock):
        watch_suite(tmp_path, Console(file=text, width=100), once=True)
    (line,) = text.getvalue().splitlines()
    assert line.startswith("RLSD seed 3: 2/7, ")
    assert line.endswith(" elapsed, running, reward 0.500")


def test_no_suite_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs below"):
        watch_suite(tmp_path, Console())
