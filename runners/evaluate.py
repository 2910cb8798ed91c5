"""Evaluating what a run has produced, into its own directory."""

from pathlib import Path
from typing import Any

from eval.settings import EvalSettings
from runners.errors import UserError
from runners.model import locate
from runners.run_dir import RunDir


def evaluate_run(run: RunDir, settings: EvalSettings, skip_bad: bool = False) -> tuple[dict[str, dict[str, Any]], Path]:
    """Evaluate a run's last checkpoint, or its model as it was where the run has no steps. Returns results, folder."""
    from eval.run import evaluate

    info, checkpoint = run.info(), run.last_checkpoint()
    if checkpoint is None and info["steps"] > 0:
        raise UserError(f"{run.path} has no finished checkpoint: train it first")
    step = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    model = str(checkpoint) if checkpoint else locate(info["model"])
    folder = run.path / "eval" / str(step)
    return evaluate(model, settings, folder, step=step, skip_bad=skip_bad), folder
