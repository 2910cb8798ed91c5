"""Ctrl-C and SIGTERM end a command with one line, after what it holds has been put in order."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Somebody wants this process to end. No Exception, so that no library takes it for a failure of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.line = "interrupted; the same command goes on"


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first signal raises Interrupted. Those that follow must not disturb the clearing up: a terminal and a
    parent may both ask."""

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {each: signal.signal(each, interrupt) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def told_step(step: Callable[[], int]) -> Iterator[None]:
    """An interruption inside says at which step it came."""
    try:
        yield
    except Interrupted as error:
        error.line = f"interrupted at step {step()}; the same command goes on"
        raise
