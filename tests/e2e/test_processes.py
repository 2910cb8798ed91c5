"""The same training on one process, on two, and in several micro-batches."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from methods import SELF_CONTAINED
from runners.train import run as train
from tests.support import warm
from tests.support.fixed_rollouts import trajectories
from tests.support.paths import ROOT
from tests.support.warm import Finished, cli

# Three prompts of four rollouts: on two processes the second group lies on both.
COMMON = (
    "train.steps=2",
    "train.prompts=3",
    "train.generations=4",
    "train.learning_rate=1e-3",
    "train.checkpoint_every=3",
)
WHOLE = (*COMMON, "train.prompts=2")  # a whole group on each of two processes
# The same with one picture, in the first prompt: on two processes the second shows none.
MIXED = (*COMMON, "train.micro_batch=6")
METHODS_RUN = [*SELF_CONTAINED, "grpo@sequence", "grpo_opsd@mopd"]
METHODS_SPLIT = ["sdpo", "rlsd"]  # teachers of both kinds: told in the loss, and before the update
Histories = dict[str, list[dict[str, Any]]]
# Figures of a step and how far they may lie apart: TRL's own invariance tests allow 1e-4 on the loss. Its entropy is
# not among them: TRL averages the means of micro-batches of unlike length.
FIGURES = {"loss": 1e-5, "grad_norm": 1e-4, "reward": 1e-6}
OWN = [f"bench/{name}" for name in ("gap", "entropy", "divergence", "lambda", "clip_rate", "weight_mean", "told")]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Histories]:
    accuracy = train.REWARDS["accuracy"]
    yield trajectories(METHODS_RUN, tmp_path_factory.mktemp("one"), [*COMMON, "train.micro_batch=12"])
    train.REWARDS["accuracy"] = accuracy


@pytest.fixture(scope="module")
def micro_batches(one_process: Histories, tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return trajectories(METHODS_RUN, tmp_path_factory.mktemp("four"), [*COMMON, "train.micro_batch=3"])


@pytest.fixture(scope="module")
def halves(one_process: Histories, tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return trajectories([*SELF_CONTAINED], tmp_path_factory.mktemp("halves"), [*COMMON, "train.micro_batch=2"])


@pytest.fixture(scope="module")
def single_rows(one_process: Histories, tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return trajectories(METHODS_SPLIT, tmp_path_factory.mktemp("single"), [*COMMON, "train.micro_batch=1"])


@pytest.fixture(scope="module")
def two_groups(one_process: Histories, tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return trajectories(METHODS_SPLIT, tmp_path_factory.mktemp("groups"), [*WHOLE, "train.micro_batch=8"])


def _mixed(folder: Path) -> str:
    Image.new("RGB", (48, 32), "red").save(folder / "a.png")
    rows = [{"question": f"What is 1 + {i}?", "answer": str(i + 1), "images": ["a.png"][i:]} for i in range(3)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"data.source={folder / 'rows.jsonl'}"


@pytest.fixture(scope="module")
def mixed(one_process: Histories, tmp_path_factory: pytest.TempPathFactory) -> Histories:
    folder = tmp_path_factory.mktemp("mixed")
    return trajectories(METHODS_SPLIT, folder / "runs", [*MIXED, _mixed(folder)])


def _one_of_two(rank: int, folder: Path) -> None:
    found = [
        trajectories([*SELF_CONTAINED], folder / "divided", [*COMMON, "train.micro_batch=6", "train.processes=2"]),
        trajectories(METHODS_SPLIT, folder / "split", [*WHOLE, "train.micro_batch=1", "train.processes=2"]),
        trajectories(
            METHODS_SPLIT, folder / "mixed", [*MIXED, f"data.source={folder / 'rows.jsonl'}", "train.processes=2"]
        ),
    ]
    if rank == 0:
        (folder / "history.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> list[Histories]:
    """Two processes that first divide all rollouts between them, and then take whole groups in parts."""
    folder = tmp_path_factory.mktemp("two")
    _mixed(folder)
    warm.launched(_one_of_two, folder)
    histories: list[Histories] = json.loads((folder / "history.json").read_text())
    return histories


@pytest.fixture(scope="module")
def two_processes(launched: list[Histories]) -> Histories:
    return launched[0]


def assert_same(rows: list[dict[str, Any]], reference: list[dict[str, Any]]) -> None:
    assert reference[0]["grad_norm"] > 0
    for step, (row, expected) in enumerate(zip(rows, reference, strict=True)):
        for figure, tolerance in FIGURES.items():
            assert row[figure] == pytest.approx(expected[figure], abs=tolerance, rel=1e-3), (step, figure)
        for figure in OWN:
            if figure in expected:
                assert row[figure] == pytest.approx(expected[figure], abs=1e-4, rel=1e-5), (step, figure)


LAYOUTS = {
    "micro_batches": METHODS_RUN,
    "two_processes": SELF_CONTAINED,
    "halves": SELF_CONTAINED,
    "single_rows": METHODS_SPLIT,
}


@pytest.mark.parametrize(("layout", "method"), [(layout, m) for layout, methods in LAYOUTS.items() for m in methods])
def test_the_trajectory_does_not_depend_on_the_layout(
    one_process: Histories, layout: str, method: str, request: pytest.FixtureRequest
) -> None:
    """Nor on the parts in which a group comes."""
    assert_same(request.getfixturevalue(layout)[method], one_process[method])


@pytest.mark.parametrize("method", METHODS_SPLIT)
def test_nor_on_that_and_on_the_processes(two_groups: Histories, launched: list[Histories], method: str) -> None:
    assert_same(launched[1][method], two_groups[method])


@pytest.mark.parametrize("method", METHODS_SPLIT)
def test_a_process_may_have_no_picture_where_another_has_some(
    mixed: Histories, launched: list[Histories], method: str
) -> None:
    assert_same(launched[2][method], mixed[method])


def _train(folder: Path, *overrides: str) -> Finished:
    small = ("steps=1", "prompts=2", "generations=4", "micro_batch=2", "max_completion_tokens=8", "processes=2")
    sets = [word for pair in (*(f"train.{s}" for s in small), *overrides) for word in ("--set", pair)]
    return cli(ROOT, "train", "--method", "rlsd", "--out", str(folder), *sets)


def test_train_starts_its_processes_itself(tmp_path: Path) -> None:
    done = _train(tmp_path)
    run = tmp_path / "default" / "rlsd" / "seed0"
    assert done.returncode == 0, done.stderr + (run / "processes.log").read_text()
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    tables = [pd.read_parquet(p) for p in sorted((run / "completions").glob("*.parquet"))]
    assert [len(table) for table in tables] == [4, 4], "each process keeps its own rollouts"


def _running() -> dict[int, int]:
    """The processes of this machine that have not ended: their parents."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(process.name)] = int(parent)
    return found


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_processes_of_a_killed_train_end(tmp_path: Path) -> None:
    words = ["train", "--method", "rlsd", "--out", str(tmp_path / "runs"), "--set", "train.processes=2"]
    process = warm.started(ROOT, tmp_path, *words)
    _until(lambda: list(_running().values()).count(process.pid) == 2)
    children = {child for child, parent in _running().items() if parent == process.pid}
    process.kill()
    process.join()
    _until(lambda: not children & _running().keys())


def test_a_mistake_found_by_a_launched_process_is_one_line_too(tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"id": "first", "question": "1+1?", "answer": null}\n')
    done = _train(tmp_path / "runs", f"data.source={data}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "first" in done.stderr
    assert "no answer" in done.stderr
