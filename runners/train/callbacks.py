"""The training bar: steps, estimate, and the figures one looks for first."""

from typing import Any

from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eval.core.progress import Bar
from runners.run.world import rank


class StepBar(TrainerCallback):  # type: ignore[misc]
    """A context manager that is also a trainer callback."""

    def __init__(self, console: Console, title: str, steps: int) -> None:
        self._bar = Bar(title, steps, console=console)

    def __enter__(self) -> "StepBar":
        if rank() == 0:
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if rank() == 0:
            self._bar.__exit__(*error)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._bar.begin_at(state.global_step)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        note = f"reward {logs['reward']:.3f}" if "reward" in logs else ""
        self._bar.update(state.global_step, note)
