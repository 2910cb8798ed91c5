"""Opening takes the run's lock, and only after everything else is right."""

from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.run import lock
from runners.run.config import resolve
from runners.run.open import opened
from runners.run.run_dir import RunDir


def test_a_run_is_held_while_it_is_open(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with opened(resolve("cpu", "grpo", 0, []), run, "s") as (_, _, found):
        assert found == "new"
        assert lock.holder(run.lock) is not None
    assert not run.lock.exists()


@pytest.mark.parametrize("mistake", ["params.typo=1", "model.path=nowhere"])
def test_a_mistake_leaves_no_folder(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(UserError), opened(resolve("cpu", "grpo", 0, [mistake]), RunDir(tmp_path / "run"), "s"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["nowhere"]
