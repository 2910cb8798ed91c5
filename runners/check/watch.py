"""A suite while it runs, read from its files: other terminals, other machines on one disk, runs of yesterday."""

import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from eval.core.errors import UserError
from eval.core.progress import Bar, drawing
from runners.run.run_dir import RunDir, find_runs

POLL_S = 2.0


def watch_suite(suite: Path, console: Console, once: bool = False) -> None:
    """Returns when no run is running. Raises UserError where `suite` holds none."""
    if not find_runs(suite):
        raise UserError(f"no runs below {suite}: start some with cli.py sweep")
    bars = dict[Path, Bar]()
    with drawing(console) as drawn, ExitStack() as opened:
        while True:
            runs = find_runs(suite)
            for run in runs:
                done, total, note = standing(run)
                if run.path not in bars:
                    info = run.info()
                    bar = Bar(f"{info['label']} seed {info['seed']}", total, done, drawn=drawn)
                    bars[run.path] = opened.enter_context(bar)
                bars[run.path].update(done, note)
            if once or not any(run.status() == "running" for run in runs):
                return
            time.sleep(POLL_S)


def standing(run: RunDir) -> tuple[int, int, str]:
    """Steps done, steps in all, and its status with the last figures or the benches that are evaluated."""
    last, benches = run.last_metrics(), len(run.results())
    figures = [f"{key} {last[key]:.3f}" for key in ("reward", "leakage") if key in last]
    evaluated = [f"{benches} bench result{'s' * (benches > 1)}"] if benches else []
    return run.last_step(), int(run.info()["steps"]), ", ".join([run.status(), *figures, *evaluated])
