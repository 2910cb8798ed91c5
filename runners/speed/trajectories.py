"""Training in both layouts, step by step: the embedded model, real problems and rewards, every method."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from eval.core import files
from runners.run.config import resolve
from runners.run.open import open_run
from runners.run.run_dir import RunDir
from runners.speed import stock
from runners.speed.report import Row
from runners.train.run import build_trainer

# Of any step, and of all steps' mean, in which a one-sided drift shows: as TRL compares two runs of one trajectory (its
# tests/invariant), with bounds far below its 5e-3 and 1e-3, which losses of this size would not notice.
LIMITS = {"Δ loss": 1e-5, "Δ grad_norm": 1e-5, "mean Δ loss": 1e-6, "mean Δ grad_norm": 1e-6}
FIGURES = ("loss", "grad_norm")
SIZE = ("train.prompts=2", "train.generations=8", "train.micro_batch=16", "train.max_completion_tokens=64")

Rollouts = list[list[list[int]]]


def measure(method: str, steps: int, folder: Path) -> Row:
    """Row by row first; then the very same rollouts again, packed. What is sampled may turn on a logit's last bit."""
    rollouts: Rollouts = []
    alone = _trained(method, steps, folder / "alone", False, rollouts)
    together = _trained(method, steps, folder / "together", True, rollouts)
    apart = {name: [a[name] - b[name] for a, b in zip(together, alone, strict=True)] for name in FIGURES}
    errors = {f"Δ {name}": max(map(abs, found)) for name, found in apart.items()}
    errors |= {f"mean Δ {name}": abs(sum(found)) / len(found) for name, found in apart.items()}
    largest = {f"largest {name}": max(abs(step[name]) for step in alone) for name in FIGURES}
    return Row("trajectory", f"{method}, {steps} steps", errors, LIMITS, None, largest)


def _trained(method: str, steps: int, folder: Path, shared_prefix: bool, rollouts: Rollouts) -> list[dict[str, float]]:
    """Each step's figures. Rollouts are noted where there are none yet, and taken where there are."""
    changes = [*SIZE, f"train.steps={steps}", f"train.shared_prefix={str(shared_prefix).lower()}"]
    run = RunDir(folder)
    settings, built, _ = open_run(resolve("cpu", method, 0, changes), run, "speed")
    trainer = build_trainer(settings, built, run, [])
    trainer.args.save_strategy = "no"
    given = iter(list(rollouts))

    def replayed(sample: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        ids = next(given, None)
        if ids is None:
            ids, _ = sample(*args, **kwargs)
            rollouts.append(ids)
        return ids, None

    with redirect_stdout(io.StringIO()), stock.sampling(trainer, replayed):
        trainer.train()
    return files.read_lines(run.metrics).rows
