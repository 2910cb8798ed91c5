"""What `list` and `show` print."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from eval.core.errors import UserError
from runners.run import listing, lock
from runners.run.config import resolve
from runners.run.run_dir import RunDir, run_of


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = run_of(tmp_path, "mine", "rlsd", 3)
    found.open(resolve("cpu", "rlsd", 3, ["train.steps=7"]), "RLSD", "mine", "embedded")
    found.update(steps_done=2)
    found.metrics.write_text('{"step": 1, "reward": 0.25}\n{"step": 2, "reward": 0.5, "leakage": 0.125}\n')
    (found.path / "eval" / "7" / "mmmu").mkdir(parents=True)
    (found.path / "eval" / "7" / "mmmu" / "result.json").write_text(json.dumps({"bench": "mmmu", "score": 0.4, "n": 5}))
    return found


def _printed(thing: object) -> str:
    text = io.StringIO()
    Console(file=text, width=120).print(thing)
    return text.getvalue()


def _cells(root: Path) -> list[str]:
    """Of the one run, as a table holds them: printed, a long reason takes several lines."""
    return [str(next(iter(column.cells))) for column in listing.table(root).columns]


def test_a_list_fits_eighty_columns(tmp_path: Path, run: RunDir) -> None:
    run.update(status="failed", reason="step 3: the gradient norm is not a finite number, which nothing can mend")
    assert max(map(len, _printed(listing.table(tmp_path)).splitlines())) <= 80


def test_a_line_for_each_run(tmp_path: Path, run: RunDir) -> None:
    with lock.held(run.lock):
        assert _cells(tmp_path) == ["mine", "RLSD", "3", "running", "2/7", "0.500", "0.125", "40.0 (1/5)"]
    with run.metrics.open("a") as stream:
        stream.write('{"step": 3, "rew')
    assert _cells(tmp_path)[4:7] == ["2/7", "0.500", "0.125"], "a torn line is no step"
    with pytest.raises(UserError, match=r"no runs below [^\n]+nowhere: start one with"):
        listing.table(tmp_path / "nowhere")


def test_running_is_what_a_living_process_trains(tmp_path: Path, run: RunDir) -> None:
    assert run.info()["status"] == "running"
    assert _cells(tmp_path)[3] == "interrupted", "nobody is there"
    run.update(status="failed", reason="step 3: NaN")
    assert _cells(tmp_path)[3] == "failed: step 3: NaN"
    run.update(status="done")
    assert _cells(tmp_path)[3] == "done"


def test_everything_about_one_run(run: RunDir) -> None:
    (run.path / "prompts.txt").write_text("# student\n[bold]what is it?\n")
    text = io.StringIO()
    listing.show(run, Console(file=text, width=120))
    said = text.getvalue()
    for part in (
        '"suite": "mine"',
        "  steps: 7",
        "[bold]what is it?",
        '"leakage": 0.125',
        "step     7  mmmu        40.0         n=5",
        "RLSD seed 3 of mine: interrupted, step 2 of 7",
    ):
        assert part in said
