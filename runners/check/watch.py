"""A suite while it runs, read from its files: other terminals, other machines on one disk, runs of yesterday."""

import time
from pathlib import Path

from rich.console import Console

from eval.core.errors import UserError
from eval.core.progress import Bar, drawing
from runners.run.run_dir import RunDir, find_runs

POLL_S, LINE_S = 2.0, 60.0


def watch_suite(suite: Path, console: Console, once: bool = False) -> None:
    """Returns when no run is running. Raises UserError where `suite` holds none."""
    if not find_runs(suite):
        raise UserError(f"no runs below {suite}: start some with cli.py sweep")
    if once or not console.is_terminal:
        return _lines(suite, console, once)
    with drawing(console) as drawn:
        bars = dict[Path, Bar]()
        while True:
            runs = find_runs(suite)
            for run in runs:
                done, total, note = standing(run)
                if run.path not in bars:
                    bars[run.path] = Bar(_name(run), total, done, drawn=drawn).__enter__()
                bars[run.path].update(done, note)
            if not _any_running(runs):
                return
            time.sleep(POLL_S)


def _lines(suite: Path, console: Console, once: bool) -> None:
    start, before = time.monotonic(), {run.path: run.last_step() for run in find_runs(suite)}
    while True:
        runs = find_runs(suite)
        for run in runs:
            done, total, note = standing(run)
            line = f"{_name(run)}: {done}/{total}, {note}"
            fresh = done - before.get(run.path, done)
            if fresh > 0 and run.status() == "running":
                minutes = (time.monotonic() - start) / fresh * (total - done) / 60
                line += f", about {minutes:.0f} min left"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if once or not _any_running(runs):
            return
        time.sleep(LINE_S)


def standing(run: RunDir) -> tuple[int, int, str]:
    """Steps done, steps in all, and its status with the last figures or the benches that are evaluated."""
    last, benches = run.last_metrics(), len(run.results())
    figures = [f"{key} {last[key]:.3f}" for key in ("reward", "leakage") if key in last]
    evaluated = [f"{benches} bench result{'s' * (benches > 1)}"] if benches else []
    return run.last_step(), int(run.info()["steps"]), ", ".join([run.status(), *figures, *evaluated])


def _any_running(runs: list[RunDir]) -> bool:
    return any(run.status() == "running" for run in runs)


def _name(run: RunDir) -> str:
    info = run.info()
    return f"{info['label']} seed {info['seed']}"
