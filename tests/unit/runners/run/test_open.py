"""What is asked before anything heavy is imported."""

from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.run.config import resolve
from runners.run.open import open_run
from runners.run.run_dir import RunDir
from runners.run.world import is_launched, rank, world_size


def test_a_launcher_of_ones_own_must_start_as_many_processes_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = resolve("cpu", "grpo", 0, ["train.processes=2"])
    assert (is_launched(), world_size(), rank()) == (False, None, 0)
    assert open_run(settings, RunDir(tmp_path / "alone"), "s")[2] == "new"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert (is_launched(), world_size(), rank()) == (True, 2, 1)
    assert open_run(settings, RunDir(tmp_path / "two"), "s")[2] == "new"
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match=r"train\.processes is 2 and 4 process\(es\) run: .*train\.processes=4"):
        open_run(settings, RunDir(tmp_path / "four"), "s")
    assert not (tmp_path / "four").exists()
