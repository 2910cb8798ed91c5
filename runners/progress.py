"""The training bar: steps, estimate, and the figures one looks for first."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runners.processes import rank


class StepBar(TrainerCallback):  # type: ignore[misc]
    """A context manager that is also a trainer callback."""

    def __init__(self, console: Console, title: str, steps: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console)
        self._task = self._progress.add_task(title, total=steps, note="")

    def __enter__(self) -> "StepBar":
        if rank() == 0:
            self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        note = f"reward {logs['reward']:.3f}" if "reward" in logs else ""
        self._progress.update(self._task, completed=state.global_step, note=note)
