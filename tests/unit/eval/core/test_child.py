"""Children are started in one way, say what they have to say, and end with their parent however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.core import child
from tests.support.paths import ROOT

MODULE = "tests.support.child_process"
each_kind = pytest.mark.parametrize("forked", [False, True], ids=["fresh", "forked"])


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _ended(started: child.Child) -> int | None:
    """Its exit code."""
    _until(lambda: started.poll() is not None)
    return started.poll()


def _gone(pid: int) -> bool:
    """Ended, whether or not somebody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@each_kind
def test_output_goes_to_the_log_and_the_environment_to_the_child_alone(tmp_path: Path, forked: bool) -> None:
    import torch  # noqa: F401  (what a forked child keeps, and a fresh one has not)

    log = tmp_path / "new" / "log"
    assert _ended(child.start(MODULE, ["say", "a b"], log, {"GREETING": "hello"}, forked=forked)) == 0
    assert sorted(log.read_text().splitlines()) == sorted(
        ["to standard error", "to standard output", f"hello {forked} a b"]
    )
    assert "GREETING" not in os.environ
    assert child.WORD_FILE not in os.environ
    assert child.take_word(log) is None


def test_what_is_shown_stays_on_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _ended(child.start(MODULE, ["say"], tmp_path / "log", shown=True)) == 0
    assert "to standard output" in capfd.readouterr().out
    assert (tmp_path / "log").read_text() == "to standard error\n"


@each_kind
def test_a_users_mistake_is_handed_up_once_and_a_bug_is_in_the_log(tmp_path: Path, forked: bool) -> None:
    log = tmp_path / "log"
    assert _ended(child.start(MODULE, ["refuse"], log, forked=forked)) == 2
    assert log.read_text() == "error: the mend\n"
    assert (child.take_word(log), child.take_word(log)) == ("the mend", None)
    assert _ended(child.start(MODULE, ["break"], log, forked=forked)) == 1
    assert child.take_word(log) is None
    assert child.last_line(log) == "RuntimeError: a bug"


def test_an_older_childs_word_is_not_the_new_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _ended(child.start(MODULE, ["refuse"], log))
    _ended(child.start(MODULE, ["say"], log))
    assert child.take_word(log) is None


def test_a_silent_child(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(" \n\n")
    assert child.last_line(tmp_path / "log") == "no output"


@each_kind
def test_a_cancelled_child_has_ended(tmp_path: Path, forked: bool) -> None:
    started = child.start(MODULE, ["sleep", str(tmp_path / "pid")], tmp_path / "log", forked=forked)
    _until((tmp_path / "pid").exists)
    assert started.poll() is None
    started.cancel()
    assert started.poll() == -signal.SIGTERM
    started.cancel()
    assert started.poll() == -signal.SIGTERM


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
def test_children_end_when_their_parent_is_killed(tmp_path: Path, by: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-m", MODULE, "parent", str(tmp_path)], cwd=ROOT)
    files = [tmp_path / kind for kind in ("forked", "fresh", "watching")]
    _until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert not any(_gone(pid) for pid in pids)
    parent.send_signal(by)
    parent.wait()
    _until(lambda: all(_gone(pid) for pid in pids))
