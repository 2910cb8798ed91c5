"""The long part of these tests, which no suite collects: `python -m pytest -n 0 tests/faults/every.py`.

Every signal to every command that starts others; two commands on one run at 20 distances; every command on a disk that
is full at several stages (where file systems may be mounted), each enlarged until it ends.
"""

import mmap
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.run.run_dir import RunDir
from tests.e2e.test_one_writer import alone, one_of_two  # noqa: F401
from tests.faults.kills import EVAL, SCENARIOS, SETS, Scenario, contents
from tests.faults.test_orphans import COMMANDS, SIGNALS, ended
from tests.support.warm import cli

DISKS = {
    **{name: SCENARIOS[name] for name in ("train-sdpo", "train-two-processes", "sweep", "eval", "filter", "report")},
    "demo": Scenario(("demo", "--suite", "s", "--jobs", "1", *SETS, *EVAL)),
}
PAGE = mmap.PAGESIZE
SHARES = (0.05, 0.3, 0.6, 0.9)  # of what an undisturbed command leaves


@pytest.mark.parametrize("group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_outlives_its_command(tmp_path: Path, command: str, number: signal.Signals, group: bool) -> None:
    ended(tmp_path, command, number, group)


@pytest.mark.parametrize("later_s", [4 * i / 19 for i in range(20)], ids=lambda later_s: f"{later_s:.1f}s")
def test_two_writers(tmp_path: Path, alone: RunDir, later_s: float) -> None:  # noqa: F811
    one_of_two(tmp_path, alone, later_s)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many bytes; called again, it is as large as is said then."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def sized(size: int) -> Path:
        how = "remount," if folder.is_mount() else ""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{how}size={size}", "tmpfs", str(folder)], check=False)
        if done.returncode:
            pytest.skip("no file system may be mounted here")
        return folder

    yield sized
    subprocess.run(["umount", str(folder)], check=False)


def pages(folder: Path) -> int:
    """Bytes that the files take on a tmpfs, which gives each whole pages."""
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in folder.rglob("*"))


@pytest.mark.parametrize("name", DISKS)
def test_full_disks(tmp_path: Path, disk: Callable[[int], Path], name: str) -> None:
    scenario, whole = DISKS[name], tmp_path / "whole"
    whole.mkdir()
    before = cli(whole, *scenario.before).returncode if scenario.before else 0
    prepared = pages(whole)
    folder = disk(64 * PAGE + 4 * prepared)
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    assert (before, cli(whole, *scenario.words).returncode) == (0, 0)
    size = pages(whole) - prepared
    full = 0
    for share in SHARES:
        disk(prepared + max(PAGE, int(share * size)))
        done = cli(folder, *scenario.words)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert done.returncode == 0 or "the disk is full at" in said.replace("\n", " "), said
        full += done.returncode != 0
    assert full >= len(SHARES) - 1
    disk(64 * PAGE + 4 * (prepared + size))
    done = cli(folder, *scenario.words)
    assert done.returncode == 0, done.stderr
    expected, found = contents(whole), contents(folder)
    differing = [n for n in expected.keys() | found if expected.get(n) != found.get(n)]
    if name == "demo":  # its report says what its own runs took
        differing = [n for n in differing if not ("/report/" in n and n in expected and n in found)]
    assert sorted(differing) == []
