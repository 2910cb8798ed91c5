"""Several runs side by side: methods x seeds, each its own process, whatever one of them does.

A run that is done is skipped and one that was interrupted goes on, because each process is the ordinary `train`
command. Failures are shown and counted, never swallowed.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eval.core import files
from eval.core.errors import UserError
from runners.run.config import Settings, resolve
from runners.run.run_dir import RunDir, find_runs, now

BASE_RUN = "base"
# Imported once, before the jobs are forked: ten seconds of CPU that each would spend again.
PRELOADED = ["transformers.trainer", "peft", "datasets", "lm_eval.evaluator", "lm_eval.models.hf_vlms"]


@dataclass(frozen=True)
class Job:
    """One command of this program, the run that it works on, and how many steps its bar has."""

    title: str
    arguments: tuple[str, ...]
    run: RunDir
    steps: int

    def progress(self) -> int:
        """Optimizer steps written so far, plus evaluated benches."""
        try:
            lines = self.run.metrics.read_text().count("\n")
        except OSError:
            lines = 0
        return lines + len(list(self.run.path.glob("eval/*/*/result.json")))


class Running:
    """A started job with its log file."""

    def __init__(self, job: Job, bar: Any, logs: Path, context: Any) -> None:
        self.job, self.bar = job, bar
        self.log = logs / f"{job.title.replace(' ', '_')}.log"
        self.process = context.Process(target=_run_command, args=(job.arguments, self.log))
        self.process.start()


def _context(jobs: Sequence[Job]) -> Any:
    """For processes forked from this one, which imports what the jobs need and computes nothing."""
    # Asking the driver's library instead of starting CUDA, which no forked process could start again.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if any(job.progress() < job.steps for job in jobs):  # else torch is enough to find that out
        for name in PRELOADED:
            import_module(name)
    return multiprocessing.get_context("fork")


def _run_command(arguments: Sequence[str], log: Path) -> None:
    """In a job's process: this program's command `arguments`, with its output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(out.fileno(), stream.fileno())
    import cli

    sys.argv = ["cli.py", *arguments]
    cli.main()


def plan(
    methods: str, seeds: str, preset: str, suite: str, out: Path, overrides: list[str], evaluate: bool
) -> list[Job]:
    """The jobs of a suite, its untrained base row first. Every name and setting is checked before any starts."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and so in the jobs
    from runners.run.registry import build_method, expand

    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UserError(f"--seeds {seeds!r}: write whole numbers, for example 0,1,2") from None
    common = ["--preset", preset, "--suite", suite, "--out", str(out)]
    common += [part for pair in overrides for part in ("--set", pair)]
    jobs = [base_row(resolve(preset, "base", 0, overrides), suite, out)] if evaluate else []
    for name in expand(methods):
        for seed in numbers:
            settings = resolve(preset, name, seed, overrides)
            build_method(name, settings.params)
            run = RunDir(out / suite / run_name(name) / f"seed{seed}")
            arguments = ("train", "--method", name, "--seed", str(seed), *common, *(["--eval"] if evaluate else []))
            steps = settings.train.steps + (len(settings.eval.benches) if evaluate else 0)
            jobs.append(Job(f"{run_name(name)} seed {seed}", arguments, run, steps))
    return jobs


def run_name(method: str) -> str:
    """The folder of a method: its name with the variant, or the class of an outside file in lower case."""
    return method.rpartition(":")[2].lower()


def base_row(settings: Settings, suite: str, out: Path) -> Job:
    """The row of the untrained model: a run of no steps, evaluated like the others."""
    run = RunDir(out / suite / BASE_RUN / "seed0")
    run.open(settings, "Base", suite, settings.model.path)
    run.update(status="done", steps=0, finished=run.info()["finished"] or now())
    benches = settings.eval.benches
    return Job("base", ("eval", "--bench", ",".join(benches), "--run", str(run.path)), run, len(benches))


def run_jobs(jobs: Sequence[Job], parallel: int, logs: Path, console: Console) -> list[str]:
    """Run all jobs, `parallel` at a time, with one bar each. Returns a line for each that failed."""
    waiting, running, failed, context = list(jobs), list[Running](), list[str](), _context(jobs)
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Drawn by this thread: a fork takes the locks of others with it.
    with Progress(*columns, TimeRemainingColumn(), console=console, auto_refresh=False) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < parallel:
                    job = waiting.pop(0)
                    running.append(Running(job, progress.add_task(job.title, total=job.steps), logs, context))
                progress.refresh()
                time.sleep(0.2)
                for item in list(running):
                    progress.update(item.bar, completed=item.job.progress())
                    code = item.process.exitcode
                    if code is not None:
                        running.remove(item)
                        if code:
                            failed.append(f"{item.job.title}: {_last_line(item.log)} (exit {code}, log {item.log})")
                            progress.update(item.bar, description=f"[red]{item.job.title} failed")
        finally:
            for item in running:
                item.process.terminate()
    return failed


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def status_lines(root: Path) -> list[dict[str, Any]]:
    """One row per run below `root`, for `list`."""
    rows = []
    for run in find_runs(root):
        info = run.info()
        last = (files.read_lines(run.metrics).rows or [{}])[-1]
        benches = sorted(p.parent.name for p in run.path.glob("eval/*/*/result.json"))
        rows.append({**info, "path": str(run.path), "last": last, "benches": benches})
    if not rows:
        raise UserError(f"no runs below {root}: start one with `cli.py train --method grpo`")
    return rows
