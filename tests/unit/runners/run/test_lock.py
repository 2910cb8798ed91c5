"""One writer at a time, and what becomes of the locks of those that are gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.run import lock
from runners.run.lock import Holder
from tests.support.paths import ROOT

HOLD = """
import sys, time
from pathlib import Path
from runners.run import lock
sys.argv = ["cli.py", "train", "--method", "grpo"]
with lock.held(Path(sys.stdin.readline().strip())):
    print("held", flush=True)
    time.sleep(600)
"""
RACE = """
import sys, time
from pathlib import Path
from runners.run import lock
folder = Path(sys.stdin.readline().strip())
print("ready", flush=True)
time.sleep(max(0, float(sys.stdin.readline()) - time.time()))
try:
    with lock.held(folder / "lock.json"):
        print("held", flush=True)
        sys.stdin.readline()
except lock.InUse:
    print("refused", flush=True)
"""


def _python(code: str, *said: object) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    _say(process, *said)
    return process


def _say(process: "subprocess.Popen[str]", *said: object) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in said))
    process.stdin.flush()


def _line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _written(file: Path, **changes: object) -> None:
    """A lock of this very process, but for the changes."""
    with lock.held(file):
        record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, **changes}))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "lock.json"


def test_the_holder_is_named_and_the_lock_goes_with_it(file: Path) -> None:
    with lock.held(file):
        found = lock.holder(file)
        assert found is not None
        assert (found.host, found.pid) == (socket.gethostname(), os.getpid())
        with lock.held(file):  # by the same process: a command inside another
            pass
        assert lock.holder(file) == found
    assert lock.holder(file) is None
    assert list(file.parent.iterdir()) == []


def test_the_second_is_told_who_and_what_to_do_and_takes_over_from_the_dead(file: Path) -> None:
    holding = _python(HOLD, file)
    assert _line_of(holding) == "held"
    with pytest.raises(lock.InUse) as refused, lock.held(file):
        pass
    line = str(refused.value)
    assert line.startswith(f"{file.parent} is in use by process {holding.pid} on {socket.gethostname()} (cli.py train ")
    assert f"`kill {holding.pid}`" in line
    assert "\n" not in line
    holding.kill()
    while Path(f"/proc/{holding.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    with lock.held(file):  # though nobody has waited for the dead one yet
        assert json.loads(file.read_text())["pid"] == os.getpid()
    holding.wait()
    assert holding.returncode == -signal.SIGKILL


def test_a_number_given_to_another_process_holds_nothing(file: Path) -> None:
    _written(file, started="at another time")
    assert lock.holder(file) is None
    with lock.held(file):
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_of_another_host_nothing_is_known(file: Path) -> None:
    _written(file, host="node17", pid=1 << 30)
    found = lock.holder(file)
    assert found is not None
    before = file.read_text()
    told = rf"process {1 << 30} on node17 .*cannot be seen from here: .*remove {file}"
    with pytest.raises(UserError, match=told), lock.held(file):
        pass
    assert file.read_text() == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"host": "a", "pid": 1, "more": 2}'])
def test_a_damaged_lock_blocks_nobody(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with lock.held(file):
        assert json.loads(file.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("left", ["nothing", "a dead holder's lock"])
def test_of_many_at_once_one_gets_in(tmp_path: Path, left: str) -> None:
    if left != "nothing":
        _written(tmp_path / "lock.json", started="at another time")
    racing = [_python(RACE, tmp_path) for _ in range(6)]
    assert [_line_of(process) for process in racing] == ["ready"] * 6
    start = time.time() + 0.2  # by when each has read it
    for process in racing:
        _say(process, start)
    assert sorted(_line_of(process) for process in racing) == ["held", *["refused"] * 5]  # while the one holds it
    for process in racing:
        process.communicate()


def test_the_other_processes_of_a_run_leave_it_to_the_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with lock.held(file):
        assert not file.exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    file = tmp_path / "run" / "lock.json"
    with pytest.raises(UserError, match=f"{file}: cannot be written"), lock.held(file):
        pass


def test_another_s_lock_is_left_when_ours_was_removed(file: Path) -> None:
    other = Holder("node17", 3, "", "cli.py train")
    with lock.held(file):
        file.unlink()
        file.write_text(json.dumps(asdict(other)))
    assert lock.holder(file) == other
