"""What `list` and `show` print, in 80 columns."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from eval.benches import BENCHES
from eval.core import files
from eval.core.errors import UserError
from eval.core.terminal import plain
from runners.run.run_dir import RunDir, find_runs


def table(root: Path) -> Table:
    """One row per run below `root`, as it stands now; of a damaged one what is wrong with it.

    Raises UserError where there is none.
    """
    rows = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption="score: mean of the benches evaluated, %"
    )
    for head in ("suite", "method", "seed", "status", "step", "reward", "leakage", "score"):
        right = head in ("step", "reward", "leakage", "score")
        rows.add_column(head, justify="right" if right else "left", max_width=16 if head == "status" else None)
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
    info, last = run.info(), run.last_metrics()
    figures = [last.get(key) for key in ("reward", "leakage")]
    return [
        *(str(info.get(key, "?")) for key in ("suite", "label", "seed")),
        _status(run),
        f"{_step(run, info)}/{info.get('steps', '?')}",
        *(f"{figure:.3f}" if isinstance(figure, int | float) else "" for figure in figures),
        _score(run),
    ]


def _step(run: RunDir, info: dict[str, Any]) -> int:
    """Of a run that is running, the step of its metrics."""
    done = info.get("steps_done")
    return max(run.last_step(), done if isinstance(done, int) else 0)


def show(run: RunDir, console: Console) -> None:
    """One run: how it stands and its scores, then what it is, its settings, its prompts and its last step."""
    info = run.info()
    name = f"{info.get('label')} seed {info.get('seed')} of {info.get('suite')}"
    _print(console, f"{name}: {_status(run)}, step {_step(run, info)} of {info.get('steps')}")
    for file in run.results():
        result = files.read_object(file) or {}
        score, error = _number(result.get("score")), _number(result.get("stderr"))
        shown = "no score" if score is None else f"{100 * score:.1f}" + (f" ± {100 * error:.1f}" if error else "")
        line = f"  step {file.parent.parent.name:>5}  {file.parent.name:<11} {shown:<12} n={result.get('n')}"
        _print(console, line)
    console.print_json(json.dumps({**info, "status": run.status()}))
    for file in (run.path / "settings.yaml", run.path / "prompts.txt"):
        if file.exists():
            _print(console, files.read_text(file))
    if last := run.last_metrics():
        console.print_json(json.dumps(last))


def _print(console: Console, text: str) -> None:
    console.print(plain(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _status(run: RunDir) -> str:
    """With the reason of a failure."""
    status, reason = run.status(), run.info().get("reason")
    return f"{status}: {reason}" if status == "failed" and reason else status


def _score(run: RunDir) -> str:
    """Of the last evaluated step, with how many benches that is where some lack."""
    steps = sorted({int(file.parent.parent.name) for file in run.results()})
    last = [file for file in run.results() if steps and int(file.parent.parent.name) == steps[-1]]
    scores = [score for file in last if (score := _number((files.read_object(file) or {}).get("score"))) is not None]
    if not scores:
        return ""
    return f"{100 * fmean(scores):.1f}" + (f" ({len(scores)}/{len(BENCHES)})" if len(scores) < len(BENCHES) else "")


def _number(value: Any) -> float | None:
    """None for what a damaged file may hold in its place."""
    return value if isinstance(value, int | float) else None
