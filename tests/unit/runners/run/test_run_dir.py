"""The run directory: atomic files, honest status, whole checkpoints only."""

import json
import shutil
from pathlib import Path

import pytest

from eval.core.errors import UserError
from runners.run import config
from runners.run.config import resolve
from runners.run.run_dir import RunDir, find_runs


def _new(path: Path, *overrides: str) -> RunDir:
    run = RunDir(path)
    run.open(resolve("cpu", "grpo", 0, list(overrides)), "GRPO", "s", "embedded")
    return run


def test_a_new_run_describes_itself(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    info = run.info()
    assert (info["method"], info["label"], info["status"], info["steps"]) == ("grpo", "GRPO", "running", 40)
    assert info["versions"]["trl"] == "1.16.0"
    assert run.settings() == resolve("cpu", "grpo", 0, [])
    assert [r.path for r in find_runs(tmp_path)] == [run.path]


def test_reopening_compares_the_settings(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    run.update(status="done")
    assert run.open(resolve("cpu", "grpo", 0, []), "GRPO", "s", "embedded") == "done"
    with pytest.raises(UserError, match=r"train\.prompts 8 there, 16 asked"):
        run.open(resolve("cpu", "grpo", 0, ["train.prompts=16"]), "GRPO", "s", "embedded")


def test_a_run_goes_on_for_more_steps_and_not_for_fewer(tmp_path: Path) -> None:
    run = _new(tmp_path / "r", "train.steps=6")
    run.update(status="done", steps_done=6)

    def again(*overrides: str) -> str:
        return run.open(resolve("cpu", "grpo", 0, list(overrides)), "GRPO", "s", "embedded")

    assert again("train.steps=8") == "interrupted"
    assert (run.info()["steps"], run.settings().train.steps, run.info()["steps_done"]) == (8, 8, 6)
    for other in (["train.steps=7"], ["train.steps=9", "train.kl=0.1"]):
        with pytest.raises(UserError, match=r"train\.steps 8 there"):
            again(*other)
    falling = _new(tmp_path / "falling", "train.steps=6", "train.schedule=linear")
    with pytest.raises(UserError, match=r"train\.steps 6 there"):
        falling.open(resolve("cpu", "grpo", 0, ["train.schedule=linear"]), "GRPO", "s", "embedded")


def test_a_start_alone_is_forgotten(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    (run.path / "metrics.jsonl").write_text("")
    assert not run.forget_if_only_begun()
    assert run.info()["status"] == "running"
    run.metrics.unlink()
    assert run.forget_if_only_begun()
    assert find_runs(tmp_path) == [] and list(run.path.iterdir()) == []


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("left", [[], ["lock.json"], [".settings.yaml.tmp"], ["settings.yaml", ".run.json.tmp"]])
def test_a_start_that_was_killed_does_not_block_its_folder(tmp_path: Path, left: list[str], whole: bool) -> None:
    path = tmp_path / "r"
    path.mkdir()
    for name in left:
        (path / name).write_text(config.dump(resolve("cpu", "grpo", 0, [])) if name == "settings.yaml" else "")
    if not whole:
        (path / "run.json").write_text('{"method": "gr')
    run = RunDir(path)
    assert run.open(resolve("cpu", "rlsd", 0, []), "RLSD", "s", "embedded") == "new"
    assert (run.info()["method"], run.settings().method) == ("rlsd", "rlsd")


@pytest.mark.parametrize("name", ["settings.yaml", "metrics.jsonl", "checkpoints"])
def test_what_is_not_ours_or_more_than_a_start_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine: 1")
    with pytest.raises(UserError):
        _new(tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine: 1")]


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    assert run.last_checkpoint() is None
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / "complete.json").write_text("{}")
    last = run.last_checkpoint()
    assert last is not None
    assert last.name == "checkpoint-10"


def test_kept_weights_outlive_their_checkpoint(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    for number, step in ((4, 2), (8, 4)):  # two updates a step
        folder = run.checkpoints / f"checkpoint-{number}"
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "config.json", "tokenizer.json", "optimizer.pt", "trainer_state.json"):
            (folder / name).write_text(f"{name} {step}")
        (folder / "complete.json").write_text(json.dumps({"step": step}))
    run.keep(run.checkpoints / "checkpoint-4", 2)
    shutil.rmtree(run.checkpoints / "checkpoint-4")
    found = run.evaluable()
    assert found == {2: run.path / "weights/step2", 4: run.checkpoints / "checkpoint-8"}
    assert {p.name: p.read_text() for p in found[2].iterdir()} == {
        name: f"{name} 2" for name in ("model.safetensors", "config.json", "tokenizer.json")
    }


def test_metrics_after_the_checkpoint_and_torn_lines_are_forgotten(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    lines = [json.dumps({"step": s}) for s in (1, 2, 3)]
    run.metrics.write_text("\n".join(lines) + '\n{"step": 4, "rew')
    run.truncate_metrics(2)
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2]


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no readable run"):
        RunDir(tmp_path).info()
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(UserError, match="no readable run"):
        RunDir(tmp_path).info()
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        _new(blocked / "r")
