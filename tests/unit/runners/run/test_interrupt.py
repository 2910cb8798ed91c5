"""Ctrl-C and SIGTERM."""

import os
import signal

import pytest

from runners.run.interrupt import Interrupted, interruptible, told_step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_no_other_disturbs(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    cleared = list[str]()

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            cleared.append("up")

    with pytest.raises(Interrupted) as stopped, interruptible(), told_step(lambda: 7):
        work()
    assert cleared == ["up"]
    assert stopped.value.exit_code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert stopped.value.line == "interrupted at step 7; the same command goes on"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_no_library_takes_it_for_an_exception() -> None:
    assert not issubclass(Interrupted, Exception)
