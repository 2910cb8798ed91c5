"""A disk that is full at one write after the other: one line each time, and the same end as with room."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eval.core import files, manifest
from eval.core.errors import UserError
from runners.run.run_dir import RunDir
from runners.train import recorder
from runners.train.run import train
from tests.support.helpers import metrics, small

TINY = ("train.steps=3", "train.checkpoint_every=1", "train.max_completion_tokens=4", "train.prompts=1")
STAGES = [(recorder, "write_parquet", 1), (files, "append_lines", 2), (manifest, "seal", 2)]


@contextmanager
def _full(stage: tuple[object, str, int]) -> Iterator[None]:
    """Inside, the n-th call of a function finds no room, and none after it does."""
    module, name, number = stage
    calls, real = 0, getattr(module, name)

    def write(*args: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls >= number:
            with files.told(Path("there")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, write)
        yield


def test_a_full_disk_costs_time_and_nothing_else(tmp_path: Path) -> None:
    settings = small("sdpo", *TINY)
    unbroken, run = RunDir(tmp_path / "unbroken"), RunDir(tmp_path / "run")
    assert train(settings, unbroken, "s")
    for stage in STAGES:
        with _full(stage), pytest.raises(UserError, match=r"^the disk is full at [^\n]+$"):
            train(settings, run, "s")
    assert train(settings, run, "s")
    assert metrics(run.path) == metrics(unbroken.path)
    for name in ("model.safetensors", "optimizer.pt", "teacher.safetensors"):
        ends = [(r.checkpoints / "checkpoint-3" / name).read_bytes() for r in (run, unbroken)]
        assert ends[0] == ends[1]
    left = [sorted(str(p.relative_to(r.path)) for p in r.path.rglob("*")) for r in (run, unbroken)]
    assert left[0] == left[1]
