"""`cli.py bench speed` on cells that take seconds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from runners.speed import cells, run, scoring, steps
from runners.speed.cells import Cell, HeadCell, Sizes

METHODS = ["grpo", "sdpo", "rlsd"]  # without a teacher, with one in the loss, with one in the credit
MINI = replace(
    cells.QUICK,
    sizes=Sizes(32, 2, 4, 2, 64, 800, 16, 3, 2, 32),
    rounds=1,
    ratios=(Cell(32, 8, 16, group=2),),
    sweep=(Cell(32, 8, 16, group=2, groups=2, dead=0.5),),
    parts=(Cell(32, 8, 16, group=2),),
    steps=(Cell(60, 4, 16, group=2),),
    heads=(HeadCell(16, 16, 500, "JSD"),),
    sdpo=Cell(16, 8, 0, group=2),
    control=Cell(24, 8, 16, group=2, groups=2),
    trajectory=1,
)


@pytest.fixture(autouse=True)
def _mini(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "QUICK", MINI)
    monkeypatch.setattr(run, "SELF_CONTAINED", ["rlsd"])  # whose trajectories are measured
    size = ("train.prompts=2", "train.generations=4", "train.micro_batch=8", "train.max_completion_tokens=16")
    monkeypatch.setattr(steps, "SIZE", size)
    monkeypatch.setattr(steps, "SELF_CONTAINED", METHODS)  # whose whole steps


def test_every_part_is_measured_and_written(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["bench", "speed", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (data,), (page,), (picture,) = (list(tmp_path.glob(f"speed-*-quick.{kind}")) for kind in ("json", "md", "png"))
    found = json.loads(data.read_text())
    assert {"machine", "threads", "load before", "load after", "trl"} <= found["about"].keys()
    assert found["about"]["threads"] == 1
    assert picture.read_bytes()[:4] == b"\x89PNG"
    tables = {row["table"] for row in found["rows"]}
    updates = {"P:C: update", "sweep: update", "micro-batch 1: update"}
    assert tables == {"counters", "control", "P:C: scoring", "step", "trajectory", "vocabulary"} | updates
    for row in found["rows"]:
        assert row["errors"] and row["verdict"] in ("equal", "fails, as it must")
        assert row["cell"] in page.read_text()
    named = {row["cell"].partition(";")[0] for row in found["rows"] if row["table"] == "step"}
    assert {f"{name} / stock GRPO" for name in METHODS} < named
    told = next(r for r in found["rows"] if r["cell"].startswith("rlsd / stock"))
    assert told["figures"]["score ours"] > 0 and told["figures"]["rollout stock"] > 0


def test_unequal_sides_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scoring.Sides.our_logps
    wrong = lambda self, rows, group=None: whole(self, rows, group) * 1.001  # noqa: E731
    monkeypatch.setattr(scoring.Sides, "our_logps", wrong)
    monkeypatch.setattr(cells, "QUICK", replace(MINI, sweep=(), parts=(), steps=(), heads=(), trajectory=0))
    result = CliRunner().invoke(cli.app, ["bench", "speed", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "FAILED: " in result.output
    assert next(tmp_path.glob("*.md")).read_text().count("FAILED") >= 3


@pytest.mark.parametrize(
    ("words", "message"), [(["--device", "tpu"], "choose cpu or cuda"), (["--device", "cuda"], "no GPU")]
)
def test_a_missing_device_is_said(tmp_path: Path, words: list[str], message: str) -> None:
    import torch

    if words[-1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = CliRunner().invoke(cli.app, ["bench", "speed", *words, "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())
