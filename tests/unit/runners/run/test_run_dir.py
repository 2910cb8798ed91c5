"""The run directory: atomic files, honest status, whole checkpoints only."""

import os
import shutil
from pathlib import Path

import pytest

from eval.core import files, manifest
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


def _trained(tmp_path: Path, steps: int) -> RunDir:
    """A run that wrote metrics and rollouts of so many steps, and a checkpoint after every second."""
    run = _new(tmp_path / "s" / "r")
    files.append_lines(run.metrics, [{"step": step} for step in range(1, steps + 1)])
    for step in range(1, steps + 1):
        files.write(run.path / "completions" / f"step{step:05d}.parquet", "rollouts")
    for step in range(2, steps + 1, 2):
        files.write(run.checkpoints / f"checkpoint-{step}" / "optimizer.pt", f"of {step}")
        manifest.seal(run.checkpoints / f"checkpoint-{step}", step=step)
    return run


def _name(checkpoint: Path | None) -> str | None:
    return checkpoint and checkpoint.name


def test_the_newest_whole_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _trained(tmp_path, 11)
    assert _name(run.last_checkpoint()) == "checkpoint-10"
    (run.checkpoints / "checkpoint-10" / "complete.json").unlink()  # a kill has left it half written
    assert _name(run.last_checkpoint()) == "checkpoint-8"
    assert capsys.readouterr().out == ""
    (run.checkpoints / "checkpoint-8" / "optimizer.pt").unlink()
    (run.checkpoints / "checkpoint-mine").mkdir()
    assert _name(run.last_checkpoint()) == "checkpoint-6"
    assert "checkpoint-8 is damaged (optimizer.pt is missing)" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "mend"), [("done", "put them back"), ("interrupted", "train it first")])
def test_the_model_before_training_is_never_taken_for_the_trained_one(tmp_path: Path, status: str, mend: str) -> None:
    run = _trained(tmp_path, 4)
    assert run.trained() == (4, run.checkpoints / "checkpoint-4")
    run.update(status=status)
    run.keep(run.checkpoints / "checkpoint-2", 2)
    shutil.rmtree(run.checkpoints)
    assert run.trained() == (2, run.path / "weights" / "step2")  # what was kept to be evaluated
    shutil.rmtree(run.path / "weights")
    with pytest.raises(UserError, match=f"has no weights: .*{mend}"):
        run.trained()
    run.update(steps=0)
    assert run.trained() == (0, None)


def test_going_back_sweeps_up(tmp_path: Path) -> None:
    run = _trained(tmp_path, 7)
    (run.checkpoints / "checkpoint-8").mkdir()
    (run.checkpoints / "checkpoint-mine").mkdir()
    for left in (".prompts.txt.tmp", "completions/.step00007.parquet.tmp"):
        (run.path / left).write_text("half")
    with run.metrics.open("a") as stream:
        stream.write('{"step": 8, "rew')
    assert _name(run.go_back()) == "checkpoint-6"
    assert files.read_lines(run.metrics).rows == [{"step": step} for step in range(1, 7)]
    assert sorted(p.name for p in run.checkpoints.iterdir()) == [
        *(f"checkpoint-{n}" for n in (2, 4, 6)),
        "checkpoint-mine",
    ]
    assert [p.name for p in run.path.rglob(".*")] == []


def test_the_oldest_checkpoints_are_deleted_and_nothing_of_a_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their dates; and a deletion that a kill cuts short is swept up."""
    run = _trained(tmp_path, 8)
    os.utime(run.checkpoints / "checkpoint-8", (1, 1))
    (run.checkpoints / "checkpoint-10").mkdir()  # is being written
    files.write(run.checkpoints / "checkpoint-mine" / manifest.NAME, "{}")
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.rotate()
    run.rotate()
    left = {p.name for p in run.checkpoints.iterdir()}
    assert left == {"checkpoint-4", "checkpoint-6", "checkpoint-8", "checkpoint-10", "checkpoint-mine"}
    assert _name(run.go_back()) == "checkpoint-8"
    assert {p.name for p in run.checkpoints.iterdir()} == {"checkpoint-6", "checkpoint-8", "checkpoint-mine"}


@pytest.mark.parametrize("lost", ["metrics.jsonl", "completions/step00001.parquet"])
def test_what_was_not_recorded_is_run_again(tmp_path: Path, lost: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = _trained(tmp_path, 4)
    (run.path / lost).unlink()
    assert run.unrecorded(4) is not None
    assert run.go_back() is None
    assert "going on from the first step; it is kept as" in capsys.readouterr().out
    aside = run.checkpoints / "aside"
    assert [p.name for p in run.checkpoints.iterdir()] == ["aside"]
    assert [manifest.fault(aside / f"checkpoint-{step}") for step in (2, 4)] == [None, None]
    assert (aside / "checkpoint-4.metrics.jsonl").exists() == (lost != "metrics.jsonl")


def test_what_cannot_be_used_is_never_removed(tmp_path: Path) -> None:
    """A checkpoint of an earlier version is set aside, another time beside itself."""
    run = _trained(tmp_path, 4)
    for _ in range(2):
        files.write(run.checkpoints / "checkpoint-4" / "model.safetensors", "mine")
        files.write_json(run.checkpoints / "checkpoint-4" / manifest.NAME, {"global_step": 4})
        files.write(run.path / "completions" / ".mine", "mine")
        assert _name(run.go_back()) == "checkpoint-2"
    kept = [run.checkpoints / "aside" / name / "model.safetensors" for name in ("checkpoint-4", "checkpoint-4-2")]
    assert [p.read_text() for p in (*kept, run.path / "completions" / ".mine")] == ["mine"] * 3


def test_metrics_that_a_disk_has_spoilt(tmp_path: Path) -> None:
    run = _trained(tmp_path, 4)
    run.metrics.write_bytes(b'{"step": 1}\n{"step": 2}\n\xff\x00\n{"step": 4}\n')
    assert _name(run.go_back()) == "checkpoint-2"
    assert files.read_lines(run.metrics).rows == [{"step": 1}, {"step": 2}]


def test_a_run_that_took_no_step_can_be_discarded(tmp_path: Path) -> None:
    run = _new(tmp_path / "runs" / "s" / "grpo" / "seed0")
    files.write(run.path / "completions" / "step00001.parquet", "of the first step")
    assert run.discard()
    assert not (tmp_path / "runs").exists()
    run = _trained(tmp_path / "other", 1)
    assert not run.discard()
    assert run.metrics.exists()


@pytest.mark.parametrize("name", ["eval/0/mmmu/result.json", "completions/step00002.parquet", "notes.md"])
def test_a_run_that_holds_more_is_not_discarded(tmp_path: Path, name: str) -> None:
    run = _new(tmp_path / "runs" / "s" / "grpo" / "seed0")
    files.write(run.path / name, "mine")
    assert not run.discard()
    assert (run.path / name).read_text() == "mine"


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


def test_kept_weights_outlive_their_checkpoint(tmp_path: Path) -> None:
    run = _new(tmp_path / "r")
    for number, step in ((4, 2), (8, 4)):  # two updates a step
        folder = run.checkpoints / f"checkpoint-{number}"
        for name in ("model.safetensors", "config.json", "tokenizer.json", "optimizer.pt", "trainer_state.json"):
            files.write(folder / name, f"{name} {step}")
        manifest.seal(folder, step=step)
    run.keep(run.checkpoints / "checkpoint-4", 2)
    shutil.rmtree(run.checkpoints / "checkpoint-4")
    found = run.evaluable()
    assert found == {2: run.path / "weights/step2", 4: run.checkpoints / "checkpoint-8"}
    assert {p.name: p.read_text() for p in found[2].iterdir()} == {
        name: f"{name} 2" for name in ("model.safetensors", "config.json", "tokenizer.json")
    }
