"""Several runs side by side: methods x seeds, each its own job, whatever one of them does.

A run that is done is skipped and one that was interrupted goes on, because each job is the ordinary `train` command.
Failures are shown and counted, never swallowed.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from eval.core.child import last_line, take_word
from eval.core.errors import UserError
from eval.core.progress import Bar, drawing
from eval.settings import evaluated_steps
from runners.launch.job import Handle, Job, Launcher
from runners.run import lock
from runners.run.config import Settings, resolve
from runners.run.run_dir import BASE_RUN, now, run_name, run_of

POLL_S = 0.2


def plan(
    methods: str, seeds: str, preset: str, suite: str, out: Path, overrides: list[str], evaluate: bool
) -> list[Job]:
    """The jobs of methods x seeds, as they are written on a command line."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and so in the jobs
    from runners.run.registry import expand

    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UserError(f"--seeds {seeds!r}: write whole numbers, for example 0,1,2") from None
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--seeds {seeds} names one twice: a run is trained once")
    return jobs(dict.fromkeys(expand(methods), numbers), preset, suite, out, overrides, evaluate)


def jobs(
    rows: Mapping[str, Sequence[int]], preset: str, suite: str, out: Path, overrides: list[str], evaluate: bool
) -> list[Job]:
    """The jobs of a suite (method -> its seeds), its untrained base row first. Every name and setting is checked before
    any starts."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from runners.run.open import checked

    common = ["--preset", preset, "--suite", suite, "--out", str(out)]
    common += [part for pair in overrides for part in ("--set", pair)]
    found: list[Job] = []
    runs: dict[Path, str] = {}
    # Seed after seed, so that what an interrupted suite has can be compared.
    for seed in dict.fromkeys(seed for seeds in rows.values() for seed in seeds):
        for name in (name for name, seeds in rows.items() if seed in seeds):
            settings, _ = checked(resolve(preset, name, seed, overrides))
            run = run_of(out, suite, name, seed)
            if (other := runs.setdefault(run.path, name)) != name:
                raise UserError(f"{other} and {name} would share the folder {run.path}: rename one of the classes")
            arguments = ("train", "--method", name, "--seed", str(seed), *common, *(["--eval"] if evaluate else []))
            evaluations = len(evaluated_steps(settings.train.steps, settings.eval.every))
            steps = settings.train.steps + (evaluations * len(settings.eval.benches) if evaluate else 0)
            found.append(Job(f"{run_name(name)} seed {seed}", arguments, run, steps, settings.train.steps))
    # Last, for it makes a folder.
    return [base_row(resolve(preset, "base", 0, overrides), suite, out), *found] if evaluate else found


def base_row(settings: Settings, suite: str, out: Path) -> Job:
    """The row of the untrained model: a run of no steps, evaluated like the others."""
    run = run_of(out, suite, BASE_RUN, 0)
    with lock.held(run.lock):
        run.open(settings, "Base", suite, settings.model.path)
        run.update(status="done", steps=0, finished=run.info()["finished"] or now())
    benches = settings.eval.benches
    return Job("base", ("eval", "--bench", ",".join(benches), "--run", str(run.path)), run, len(benches))


def run_jobs(jobs: Sequence[Job], parallel: int, launcher: Launcher, console: Console) -> list[str]:
    """Run all jobs, `parallel` at a time, with one bar each. Returns a line for each that failed."""
    waiting, running, failed = list(jobs), list[tuple[Job, Handle, Bar]](), list[str]()
    # Drawn by this thread: a fork takes the locks of others with it.
    with drawing(console, by_itself=False) as drawn:
        try:
            while waiting or running:
                while waiting and len(running) < parallel:
                    job = waiting.pop(0)
                    bar = Bar(job.title, job.steps, job.progress(), drawn=drawn)
                    running.append((job, launcher.start(job), bar.__enter__()))
                drawn.refresh()
                time.sleep(POLL_S)
                for item in list(running):
                    job, handle, bar = item
                    code = handle.poll()
                    bar.update(job.progress(), "failed" if code else "")
                    if code is not None:
                        running.remove(item)
                        bar.__exit__()
                        if code:
                            said = take_word(handle.log) or last_line(handle.log)
                            failed.append(f"{job.title}: {said} (exit {code}, log {handle.log})")
        finally:
            for _, handle, _ in running:
                handle.cancel()
    return failed
