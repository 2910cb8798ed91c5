"""Whatever ends a command, nothing that it has started goes on."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.kills import SETS, SWEEP, TWO
from tests.support.warm import started

LONG = ("--set", "train.steps=500")
COMMANDS = {
    "two processes": ("train", "--suite", "s", "--method", "grpo", *SETS, *TWO, *LONG),
    "sweep": (*SWEEP, *LONG, "--no-eval"),
}


def _children(pid: int) -> set[int]:
    """Of a process, and of theirs."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found |= {int(stat.parent.name), *_children(int(stat.parent.name))}
    return found


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_outlives_its_command(tmp_path: Path, command: str, number: signal.Signals) -> None:
    (tmp_path / "said").mkdir()
    process = started(tmp_path, tmp_path / "said", *COMMANDS[command])
    metrics = tmp_path / "runs" / "s" / "grpo" / "seed0" / "metrics.jsonl"
    _until(metrics.exists, 180)
    children = _children(process.pid)
    assert children
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == (-number if number == signal.SIGKILL else 143)
    _until(lambda: not any(map(_alive, children)), 20)
