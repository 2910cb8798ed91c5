"""The commands of the README, in their order, with settings small enough to wait for."""

import json
import shlex
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.warm import Finished, cli

TRAIN = ("steps=1", "prompts=2", "generations=2", "micro_batch=4", "max_completion_tokens=8")
EVAL = ("limit=4", "max_new_tokens=8")
SETS = [part for pair in (*(f"train.{t}" for t in TRAIN), *(f"eval.{e}" for e in EVAL)) for part in ("--set", pair)]
TAKES_SETTINGS = ("train", "sweep", "demo")


def _commands() -> list[str]:
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line[2:].rpartition("&& ")[2] for line in lines if line.startswith("$ ")]
    return [c for c in commands if "cli.py" in c]


def _run(command: str, folder: Path) -> Finished:
    words = shlex.split(command.removeprefix("uv run ").removeprefix("cli.py "))
    if words[0] in TAKES_SETTINGS:
        words += SETS
        words += ["--set", "eval.benches=[zerobench]"] if words[0] == "sweep" else []  # the demo evaluates them all
    elif words[0] == "eval":
        words += SETS[-2 * len(EVAL) :]
    return cli(folder, *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def test_the_readme_has_the_commands() -> None:
    verbs = [c.split()[3] for c in _commands()]
    assert verbs[0] == "demo"
    assert {"train", "sweep", "eval", "report", "list", "show"} <= set(verbs)


@pytest.mark.parametrize("command", _commands())
def test_readme_command(command: str, folder: Path) -> None:
    result = _run(command, folder)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert "Traceback" not in result.stdout + result.stderr


def test_what_the_demo_left_behind(folder: Path) -> None:
    """Runs after the commands above: six rows, five benches, leakage, and a page that stands alone."""
    suite = folder / "runs" / "demo"
    rows = {p.parent.parent.name: p.parent for p in suite.glob("*/seed0/run.json")}
    assert set(rows) == {"base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd"}
    for method, run in rows.items():
        step = "0" if method == "base" else "1"
        assert len(list((run / "eval" / step).glob("*/result.json"))) == 5
        assert "rate" in json.loads((run / "eval" / step / "leakage.json").read_text())["mention"]
        assert json.loads((run / "run.json").read_text())["status"] == "done"
    for name in ("report.html", "table2.md", "table2.tex", "table2.csv", "report.json"):
        assert (suite / "report" / name).stat().st_size > 100
    html = (suite / "report" / "report.html").read_text()
    assert "mini" in html
    assert "62.44" in html or "62.4" in html, "the paper's numbers stand beside ours"


def test_a_sweep_evaluates_the_benches_that_were_asked_for(folder: Path) -> None:
    found = {(p.parts[-6], p.parent.name) for p in (folder / "runs" / "pair").glob("*/seed*/eval/*/*/result.json")}
    assert found == {(name, "zerobench") for name in ("base", "grpo", "rlsd")}


def test_the_demo_again_does_no_work(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs" / "demo").rglob("metrics.jsonl")}
    result = _run("uv run cli.py demo", folder)
    assert result.returncode == 0, result.stdout[-2000:]
    assert {p: p.stat().st_mtime_ns for p in before} == before
