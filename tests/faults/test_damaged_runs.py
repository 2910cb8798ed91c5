"""Damaged runs: told, and never in the way of the others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.run import listing
from tests.support.report_suite import write_run

Told = Callable[..., tuple[int | str, str]]
DAMAGES: dict[str, tuple[str, bytes]] = {
    "no json": ("run.json", b"{"),
    "binary": ("run.json", bytes(range(256))),
    "a list": ("run.json", b"[]"),
    "deep": ("run.json", b"[" * 100_000),
    "status": ("run.json", b'{"status": 3}'),
    "seed": ("run.json", b'{"status": "done", "seed": "many", "steps": [], "label": {}}'),
    "steps": ("run.json", b'{"status": "done", "steps_done": null}'),
    "settings": ("settings.yaml", b"a: ["),
    "settings a list": ("settings.yaml", b"- 1"),
    "settings utf16": ("settings.yaml", "train: {}".encode("utf-16")),
    "metrics": ("metrics.jsonl", b"\xff\xfe{\n"),
    "metrics odd": ("metrics.jsonl", b'{"step": "x"}\n{"step": 1e999, "reward": "y"}\n{"reward": 1e999}\n'),
    "result": ("eval/3/mmmu/result.json", b"{"),
    "result types": ("eval/3/mmmu/result.json", b'{"bench": 3, "score": "x", "n": []}'),
    "leakage": ("eval/3/leakage.json", b"[]"),
    "prompts": ("prompts.txt", bytes(range(256))),
    "checkpoint": ("checkpoints/checkpoint-x/complete.json", b"{}"),
}


def _damaged(suite: Path, method: str, damage: str) -> Path:
    run, (name, content) = write_run(suite, method, steps=2), DAMAGES[damage]
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(content)
    return run


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs" / "s", "grpo", steps=2)
    return tmp_path / "runs" / "s"


def test_damaged_runs_hide_no_other(told: Told, suite: Path) -> None:
    for i, damage in enumerate(DAMAGES):
        _damaged(suite, f"m{i}", damage)
    assert told("list", str(suite.parent)) == (0, "")
    assert told("report", str(suite)) == (0, "")
    cells = [str(cell) for column in listing.table(suite.parent).columns for cell in column.cells]
    assert "GRPO" in cells
    assert sum(cell.startswith("damaged: ") for cell in cells) >= 5
    numbers = json.loads((suite / "report" / "report.json").read_text())
    assert sum("left out" in str(warning) for warning in numbers["warnings"]) >= 5


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_that_is_shown(told: Told, suite: Path, damage: str) -> None:
    code, said = told("show", str(_damaged(suite, "rlsd", damage)))
    assert (code, said.count("\n")) in ((0, 0), (2, 1))


def test_names_are_shown_and_not_obeyed(told: Told, suite: Path) -> None:
    info = json.loads((suite / "grpo/seed0/run.json").read_text())
    (suite / "grpo/seed0/run.json").write_text(json.dumps({**info, "label": "[/red]\x1b[2J:x:"}))
    assert told("list", str(suite.parent)) == (0, "")
