"""What `list` and `show` print."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from eval.core import files
from eval.core.errors import UserError
from eval.core.terminal import plain
from runners.run.run_dir import RunDir, find_runs


def table(root: Path) -> Table:
    """One row per run below `root`, of a damaged one what is wrong with it. Raises UserError where there is none."""
    rows = Table("suite", "method", "seed", "status", "steps", "reward", "leakage", "benches")
    for run in find_runs(root):
        try:
            cells = _cells(run)
        except UserError as error:
            cells = [run.path.parent.parent.name, run.path.parent.name, run.path.name, f"damaged: {error}"]
        rows.add_row(*(plain(cell) for cell in cells))
    if not rows.rows:
        raise UserError(f"no runs below {root}: start one with `cli.py train --method grpo`")
    return rows


def _cells(run: RunDir) -> list[str]:
    info, last = run.info(), _last_step(run)
    figures = [last.get(key) for key in ("reward", "leakage")]
    benches = sorted(file.parent.name for file in _results(run))
    return [
        *(str(info.get(key, "?")) for key in ("suite", "label", "seed")),
        _status(run),
        f"{info.get('steps_done', '?')}/{info.get('steps', '?')}",
        *(f"{figure:.3f}" if isinstance(figure, int | float) else "" for figure in figures),
        ", ".join(benches),
    ]


def show(run: RunDir, console: Console) -> None:
    """One run: what it is, its settings, its prompts, its last step and its scores."""
    console.print_json(json.dumps({**run.info(), "status": run.status()}))
    for file in (run.path / "settings.yaml", run.path / "prompts.txt"):
        if file.exists():
            _print(console, files.read_text(file))
    if last := _last_step(run):
        console.print_json(json.dumps(last))
    for file in _results(run):
        result = files.read_object(file) or {}
        said = f"{result.get('score')}  (n={result.get('n')})" if result else "cannot be read"
        _print(console, f"{file.parent.parent.name:>5}  {file.parent.name:<11} {said}")


def _print(console: Console, text: str) -> None:
    console.print(plain(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _status(run: RunDir) -> str:
    """With the reason of a failure."""
    status, reason = run.status(), run.info().get("reason")
    return f"{status}: {reason}" if status == "failed" and reason else status


def _last_step(run: RunDir) -> dict[str, Any]:
    """The figures of the last whole line; none before the first."""
    return (files.read_lines(run.metrics).rows or [{}])[-1]


def _results(run: RunDir) -> list[Path]:
    return sorted(run.path.glob("eval/*/*/result.json"))
