"""Progress with an estimate: a bar on a terminal, a plain line now and then where nobody draws (CI, nohup)."""

from datetime import timedelta
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_S = 30.0  # between two plain lines


class Bar:
    """A context manager around `total` pieces of work, `done` of which an earlier call has left behind."""

    def __init__(self, what: str, total: int, done: int = 0, console: Console | None = None) -> None:
        self._what, self._total, self._done, self._before = what, total, done, done
        self._console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        note = TextColumn("{task.fields[note]}")
        self._drawn = Progress(*columns, TimeRemainingColumn(), note, console=self._console)
        self._task = self._drawn.add_task(what, total=total, completed=done, note="")
        self._note, self._open = "", False
        self._start = self._last = monotonic()

    def __enter__(self) -> "Bar":
        self._open = True
        self.begin_at(self._done)
        if self._console.is_terminal:
            self._drawn.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._console.is_terminal:
            self._drawn.stop()
        else:
            self._say()

    def begin_at(self, done: int) -> None:
        """Work starts here, after `done` pieces of an earlier call: the estimate counts from now."""
        self._before = self._done = done
        self._start = self._last = monotonic()
        self._drawn.update(self._task, completed=done)

    def advance(self, pieces: int) -> None:
        self.update(self._done + pieces)

    def update(self, done: int, note: str = "") -> None:
        """`done` of the total are done now; `note` is shown behind. Silent outside of the `with` block."""
        self._done, self._note = done, note
        self._drawn.update(self._task, completed=done, note=note)
        if self._open and not self._console.is_terminal and monotonic() - self._last >= EVERY_S:
            self._last = monotonic()
            self._say()

    def _say(self) -> None:
        """`mmmu: 120/900, 0:02:10 elapsed, about 0:14:05 left`; what was there before does not count as fast."""
        elapsed = monotonic() - self._start
        line = f"{self._what}: {self._done}/{self._total}, {timedelta(seconds=round(elapsed))} elapsed"
        if self._before < self._done < self._total:
            left = elapsed / (self._done - self._before) * (self._total - self._done)
            line += f", about {timedelta(seconds=round(left))} left"
        line += f", {self._note}" if self._note else ""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
