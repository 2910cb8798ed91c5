"""What `list` and `show` print."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from eval.core import files
from eval.core.errors import UserError
from runners.run.run_dir import RunDir, find_runs


def table(root: Path) -> Table:
    """One row per run below `root`. Raises UserError where there is none."""
    rows = Table("suite", "method", "seed", "status", "steps", "reward", "leakage", "benches")
    for run in find_runs(root):
        info, last = run.info(), _last_step(run)
        figures = [f"{last[key]:.3f}" if key in last else "" for key in ("reward", "leakage")]
        benches = sorted(file.parent.name for file in _results(run))
        steps = f"{info['steps_done']}/{info['steps']}"
        rows.add_row(info["suite"], info["label"], str(info["seed"]), _status(run), steps, *figures, ", ".join(benches))
    if not rows.rows:
        raise UserError(f"no runs below {root}: start one with `cli.py train --method grpo`")
    return rows


def show(run: RunDir, console: Console) -> None:
    """One run: what it is, its settings, its prompts, its last step and its scores."""
    console.print_json(json.dumps({**run.info(), "status": run.status()}))
    for file in (run.path / "settings.yaml", run.path / "prompts.txt"):
        if file.exists():
            console.print(file.read_text(), markup=False, highlight=False)
    if last := _last_step(run):
        console.print_json(json.dumps(last))
    for file in _results(run):
        result = json.loads(file.read_text())
        console.print(f"{file.parent.parent.name:>5}  {result['bench']:<11} {result['score']}  (n={result['n']})")


def _status(run: RunDir) -> str:
    """With the reason of a failure."""
    status, reason = run.status(), run.info().get("reason")
    return f"{status}: {reason}" if status == "failed" and reason else status


def _last_step(run: RunDir) -> dict[str, Any]:
    """The figures of the last whole line; none before the first."""
    return (files.read_lines(run.metrics).rows or [{}])[-1]


def _results(run: RunDir) -> list[Path]:
    return sorted(run.path.glob("eval/*/*/result.json"))
