"""Progress with an estimate: bars on a terminal, a plain line now and then where nobody draws (CI, nohup)."""

from datetime import timedelta
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eval.core.terminal import plain

EVERY_S = 30.0  # between two plain lines


def drawing(console: Console, by_itself: bool = True) -> Progress:
    """Where one or more bars are drawn. `by_itself`: by a thread of its own, else when `refresh` is called."""
    what, note = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[note]"))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    # Where nobody draws, the bars themselves say how far they are.
    disabled = not console.is_terminal
    return Progress(
        what, BarColumn(), MofNCompleteColumn(), *times, note, console=console, auto_refresh=by_itself, disable=disabled
    )


class Bar:
    """A context manager around `total` pieces of work, `done` of which an earlier call has left behind.

    It is drawn on standard error, on another `console`, or among others in `drawn`, which then somebody else opens.
    """

    def __init__(
        self, what: str, total: int, done: int = 0, console: Console | None = None, drawn: Progress | None = None
    ) -> None:
        self._what, self._total, self._done, self._before = what, total, done, done
        self._alone = drawn is None
        self._drawn = drawing(console or Console(stderr=True)) if drawn is None else drawn
        self._task = self._drawn.add_task(what, total=total, completed=done, note="")
        self._note, self._open = "", False
        self._start = self._last = monotonic()

    def __enter__(self) -> "Bar":
        self._open = True
        self.begin_at(self._done)
        if self._alone:
            self._drawn.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._alone:
            self._drawn.stop()
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
        if self._open and monotonic() - self._last >= EVERY_S:
            self._last = monotonic()
            self._say()

    def _say(self) -> None:
        """`mmmu: 120/900, 0:02:10 elapsed, about 0:14:05 left`, where no bar is drawn; what was there before does not
        count as fast."""
        if not self._drawn.disable:
            return
        elapsed = monotonic() - self._start
        line = f"{self._what}: {self._done}/{self._total}, {timedelta(seconds=round(elapsed))} elapsed"
        if self._before < self._done < self._total:
            left = elapsed / (self._done - self._before) * (self._total - self._done)
            line += f", about {timedelta(seconds=round(left))} left"
        line += f", {self._note}" if self._note else ""
        self._drawn.console.print(plain(line), markup=False, highlight=False, soft_wrap=True)
