"""The script that a person with a GPU runs, rehearsed without one."""

import json
from pathlib import Path

import pytest

from runners.train import run as train
from tests.gpu.acceptance import accept


@pytest.mark.slow
def test_the_rehearsal_says_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "REWARDS", dict(train.REWARDS))
    accept("cpu", True, tmp_path, ["rlsd"], with_speed=False)
    said = json.loads((tmp_path / "acceptance.json").read_text())
    assert said["ok"], said
    assert list(said["parts"]) == ["kernels", "model", "methods"]
    whole, in_parts = said["parts"]["methods"]["rows"]
    assert whole["steps"] == in_parts["steps"] == 2
    assert whole["loss"] == pytest.approx(in_parts["loss"], rel=1e-3)
    assert any("FSDP2" in line for line in said["skipped"])
    assert "| rlsd |" in (tmp_path / "acceptance.md").read_text()
