"""Whatever ends a command, nothing that it has started goes on. All ways to end one: tests/faults/every.py."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.kills import SETS, SWEEP, TWO
from tests.support.processes import alive, descendants, until
from tests.support.warm import started

LONG = ("--set", "train.steps=500")
WORKERS = ("--set", "eval.data_parallel=2", "--set", "eval.batch_size=1", "--set", "eval.max_new_tokens=500")
# A command that goes on for long, and what it writes once all its processes are at work.
COMMANDS = {
    "two processes": (("train", "--suite", "s", "--method", "grpo", *SETS, *TWO, *LONG), "**/metrics.jsonl"),
    "sweep": ((*SWEEP, *LONG, "--no-eval"), "**/metrics.jsonl"),
    "workers": (("eval", "--model", "embedded", "--bench", "mmmu", "--out", "r", *WORKERS), "r/*/replies.*"),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def ended(folder: Path, command: str, number: signal.Signals, group: bool) -> None:
    """Starts a command, ends it in one way, and has nothing outlive it."""
    words, written = COMMANDS[command]
    (folder / "said").mkdir()
    process = started(folder, folder / "said", *words, main=_alone)
    until(lambda: any(folder.glob(written)), 300)
    children = descendants(process.pid)
    assert children
    (os.killpg if group else os.kill)(process.pid, number)
    process.join()
    assert process.exitcode == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: not any(map(alive, children)), 20)
    said = (folder / "said" / "stderr").read_text()
    assert "Traceback" not in said
    assert number == signal.SIGKILL or "the same command goes on" in said


def _alone() -> None:
    """The command, in a process group of its own."""
    os.setpgid(0, 0)
    from cli import main

    main()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["two processes", "sweep"])
def test_nothing_outlives_its_command(tmp_path: Path, command: str, number: signal.Signals) -> None:
    ended(tmp_path, command, number, group=False)
