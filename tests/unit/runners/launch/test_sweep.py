"""A sweep's jobs, on a launcher that this repository has never heard of."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from eval.core import child, files
from eval.core.errors import UserError
from runners.launch.job import Job
from runners.launch.sweep import plan, run_jobs
from runners.run.run_dir import RunDir

CHANGES = ["train.steps=3", "eval.benches=[mmmu]"]


def _jobs(out: Path, methods: str = "grpo,rlsd", seeds: str = "0,1", evaluate: bool = False) -> list[Job]:
    return plan(methods, seeds, "cpu", "s", out, CHANGES, evaluate)


# --- what is to be done -------------------------------------------------------------------------------------------


def test_a_job_is_a_command_of_this_program(tmp_path: Path) -> None:
    base, job = _jobs(tmp_path, "rlsd@official-code", "7", evaluate=True)
    run = tmp_path / "s" / "base" / "seed0"
    assert (base.title, base.steps) == ("base", 1)
    assert base.arguments == ("eval", "--bench", "mmmu", "--run", str(run))
    assert RunDir(run).info()["status"] == "done"
    where = ("--preset", "cpu", "--suite", "s", "--out", str(tmp_path))
    changes = ("--set", "train.steps=3", "--set", "eval.benches=[mmmu]")
    assert job.arguments == ("train", "--method", "rlsd@official-code", "--seed", "7", *where, *changes, "--eval")
    assert job.run == RunDir(tmp_path / "s" / "rlsd@official-code" / "seed7")
    assert (job.title, job.steps) == ("rlsd@official-code seed 7", 3 + 1)


def test_progress_is_steps_and_benches(tmp_path: Path) -> None:
    _, job = _jobs(tmp_path, "grpo", "0", evaluate=True)
    job.run.path.mkdir(parents=True)
    found = [job.progress()]
    job.run.metrics.write_text("{}\n{}\n{}\n")
    for step in ("3", "2"):  # somebody has asked for step 2 by `eval --at`
        files.write(job.run.path / "eval" / step / "mmmu" / "result.json", "{}")
        found.append(job.progress())
    assert found == [0, 4, 4] and job.steps == 4


def test_the_same_run_is_never_two_jobs(tmp_path: Path) -> None:
    jobs = _jobs(tmp_path, "grpo,rlsd,grpo", "0,1")
    assert [job.title for job in jobs] == ["grpo seed 0", "rlsd seed 0", "grpo seed 1", "rlsd seed 1"]


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    source = "from dataclasses import dataclass\nfrom methods import METHODS\n\n@dataclass(frozen=True)\n"
    files = [tmp_path / name for name in ("a.py", "b.py")]
    for file in files:
        file.write_text(f"{source}class Mine(METHODS['grpo']):\n    pass\n")
    with pytest.raises(UserError, match=r"a\.py:Mine and [^ ]+b\.py:Mine would share the folder [^\n]+: rename"):
        _jobs(tmp_path, ",".join(f"{file}:Mine" for file in files), "0")


# --- where it is done ---------------------------------------------------------------------------------------------


@dataclass
class Queued:
    """A job of the queue below: a step at each look, then its exit code."""

    job: Job
    log: Path
    code: int
    cancelled: bool = False

    def poll(self) -> int | None:
        done = self.job.progress()
        if done >= self.job.steps - (self.code != 0):
            return self.code
        self.job.run.path.mkdir(parents=True, exist_ok=True)
        with self.job.run.metrics.open("a") as stream:
            stream.write("{}\n")
        return None

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Queue:
    """A launcher from outside: no process, and exit codes by the jobs' titles."""

    folder: Path
    codes: dict[str, int] = field(default_factory=dict)
    started: list[Queued] = field(default_factory=list)
    most: int = 0

    def start(self, job: Job) -> Queued:
        if job.title == "never":
            raise UserError("the queue is closed")
        handle = Queued(job, self.folder / f"{len(self.started)}.log", self.codes.get(job.title, 0))
        handle.log.write_text("much\nthe last line\n" if handle.code else "")
        if handle.code == 2:
            child.word_file(handle.log).write_text("a user's line")
        self.started.append(handle)
        self.most = max(self.most, sum(each.poll() is None for each in self.started))
        return handle


def test_a_sweep_runs_on_a_launcher_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.launch.sweep.POLL_S", 0)
    jobs, text = _jobs(tmp_path), io.StringIO()
    queue = Queue(tmp_path, {"grpo seed 1": 1, "rlsd seed 0": 2})
    failed = run_jobs(jobs, 2, queue, Console(file=text, width=200))
    assert [handle.job for handle in queue.started] == jobs
    assert queue.most == 2
    assert failed == [
        f"rlsd seed 0: a user's line (exit 2, log {tmp_path / '1.log'})",
        f"grpo seed 1: the last line (exit 1, log {tmp_path / '2.log'})",
    ]
    said = dict(line.split(": ", 1) for line in text.getvalue().splitlines())
    assert list(said) == [job.title for job in jobs]
    assert said["rlsd seed 1"].startswith("3/3, 0:00:00 elapsed")
    assert said["grpo seed 1"].startswith("2/3") and said["grpo seed 1"].endswith(", failed")


def test_what_runs_is_cancelled_when_the_sweep_ends_otherwise(tmp_path: Path) -> None:
    first = _jobs(tmp_path, "grpo", "0")[0]
    queue = Queue(tmp_path)
    with pytest.raises(UserError, match="closed"):
        run_jobs([first, Job("never", (), first.run, 1)], 2, queue, Console(file=io.StringIO()))
    assert [handle.cancelled for handle in queue.started] == [True]
