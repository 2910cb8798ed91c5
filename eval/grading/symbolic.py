"""Whether two LaTeX expressions are equal, by math-verify in a process of its own.

sympy can take hours over one line of text, and its own time limit is a signal, which only a main thread can get. A
process can be stopped from any thread, wherever it hangs. It starts when first needed and ends when its input does.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE = 1.0  # seconds that an expression gets to notice that its time is over, before its process is killed
MEMORY = 4 << 30  # bytes


@dataclass
class Patience:
    """Seconds left for all the expressions of one comparison."""

    left: float = 1.0


def same_expression(gold: str, found: str, patience: Patience) -> bool:
    """Whether math-verify finds the two equal, in either order: it reads an inequality as an interval in one only.

    Takes what is left of `patience`; what is not settled by then is not equal. Works in any thread.
    """
    return _CHILD.same(gold, found, patience)


class _Child:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._owner = 0

    def same(self, gold: str, found: str, patience: Patience) -> bool:
        if patience.left <= 0:
            return False
        with self._lock:
            child = self._running()
            start = time.monotonic()
            line = self._ask(child, json.dumps([gold, found, patience.left]), patience.left + GRACE)
            patience.left -= time.monotonic() - start
            if not line:
                child.kill()
                child.wait()
                self._child = None
            return line == "True\n"

    def _running(self) -> "subprocess.Popen[str]":
        if self._child is None or self._owner != os.getpid():  # a fork would share the pipes
            command = [sys.executable, "-m", "eval.grading.symbolic"]
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._child = subprocess.Popen(command, cwd=Path(__file__).parents[2], text=True, **pipes)
            self._owner = os.getpid()
            if self._ask(self._child, "[]", 120) != "ready\n":
                raise RuntimeError("math-verify does not start: run `python -m eval.grading.symbolic` to see why")
        return self._child

    @staticmethod
    def _ask(child: "subprocess.Popen[str]", question: str, seconds: float) -> str:
        assert child.stdin and child.stdout
        try:
            child.stdin.write(question + "\n")
            child.stdin.flush()
            return child.stdout.readline() if select.select([child.stdout], [], [], seconds)[0] else ""
        except OSError:
            return ""


_CHILD = _Child()


class _TooLong(BaseException):
    """Not an Exception: sympy and math-verify swallow those."""


def _serve() -> None:
    """The child: one question a line (gold, found, seconds), one answer a line."""
    import resource
    import signal

    from math_verify import LatexExtractionConfig, parse, verify
    from math_verify.parser import NormalizationConfig

    def stop(*_: Any) -> None:
        raise _TooLong

    signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    keep_units = NormalizationConfig(  # its own default takes the `ab` of 2ab for a unit
        basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
    )
    reading: Any = {
        "extraction_config": [LatexExtractionConfig(normalization_config=keep_units)],
        "parsing_timeout": None,
    }
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        question = json.loads(line)
        same: object = "ready"
        if question:
            try:
                signal.setitimer(signal.ITIMER_REAL, question[2])
                a, b = (parse(f"${text}$", **reading) for text in question[:2])
                judge: Any = {"timeout_seconds": None, "allow_set_relation_comp": True}
                same = verify(a, b, **judge) or verify(b, a, **judge)
            except (_TooLong, Exception):
                same = False
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        print(same, file=answers, flush=True)


if __name__ == "__main__":
    _serve()
