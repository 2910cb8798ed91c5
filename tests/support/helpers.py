"""Small runs of the real trainer on the embedded model."""

import json
import zlib
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from methods import Method
from runners.run.config import Settings, resolve
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.train.run import build_trainer

SMALL = (
    "train.steps=3",
    "train.prompts=2",
    "train.generations=4",
    "train.micro_batch=4",
    "train.max_completion_tokens=24",
    "train.checkpoint_every=3",
    "train.learning_rate=1e-3",
)


def small(method: str, *overrides: str) -> Settings:
    return resolve("cpu", method, 0, [*SMALL, *overrides])


def lottery(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
    """A reward that differs within every group whatever the model can do."""
    return [float(zlib.crc32(completion[-1]["content"].encode()) % 2) for completion in completions]


class History(TrainerCallback):
    """Keeps what the trainer logs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self.rows.append(dict(logs))


def history_of(
    folder: Path, settings: Settings, method: Method | None = None, saved: bool = False
) -> list[dict[str, Any]]:
    """Train without the command line and return what each step logged. `saved`: with checkpoints."""
    method = method or build_method(settings.method, settings.params)
    run = RunDir(folder)
    run.open(settings, method.label, "test", "embedded")
    history = History()
    trainer = build_trainer(settings, method, run, [history])
    if not saved:
        trainer.args.save_strategy = "no"
    trainer.train()
    return history.rows


def metrics(run: Path) -> list[dict[str, Any]]:
    """The metrics of a run but for its times."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
