"""What a launcher is given, and what it gives back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runners.run.run_dir import RunDir


@dataclass(frozen=True)
class Job:
    """One command of this program (what follows `cli.py`), the run that it works on, how many steps its bar has, and
    how many of these are optimizer steps; the others are benches."""

    title: str
    arguments: tuple[str, ...]
    run: RunDir
    steps: int
    training: int = 0

    def trained(self) -> int:
        """Optimizer steps written so far."""
        return self.run.metrics.read_text().count("\n") if self.run.metrics.exists() else 0

    def progress(self) -> int:
        """Optimizer steps written so far, plus evaluated benches; others may have evaluated more than it does."""
        return min(self.steps, self.trained() + len(self.run.results()))


class Handle(Protocol):
    """A started job. `log` is the file with its output; it may be read as soon as the job has ended."""

    @property
    def log(self) -> Path: ...

    def poll(self) -> int | None:
        """Its exit code, None while it waits or runs."""
        ...

    def cancel(self) -> None:
        """End it, and return when it has ended."""
        ...


class Launcher(Protocol):
    """Where jobs run."""

    def start(self, job: Job) -> Handle: ...
