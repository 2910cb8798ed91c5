"""Child processes of this program: `python -m module arguments`, its output in a log, ended with their parent.

A fresh child is a new interpreter; a forked one goes on from what its parent has imported. Both are started, watched
and ended in the same way, and hand the line that their user should read to whoever started them.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from eval.core.errors import UserError

WORD_FILE = "VLM_BENCH_ERROR_FILE"  # the environment's name for where a child leaves its user's line
WATCH_S = 0.5  # how soon a child sees that its parent is gone
GRACE_S = 10.0  # between the signal that asks a process to end and the one that ends it


class Child:
    """A started process, its log and its end."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self._process, self.log = process, log

    def poll(self) -> int | None:
        """The exit code, -n where signal n ended it, None while it runs."""
        return self._process.exitcode

    def cancel(self) -> None:
        """End it and wait until it has; nothing happens to one that has ended."""
        self._process.terminate()
        self._process.join(GRACE_S)
        self._process.kill()
        self._process.join()


def start(
    module: str,
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    forked: bool = False,
    shown: bool = False,
) -> Child:
    """`python -m module arguments`, with `environment` over this process's own and its output in `log`.

    `forked`: it keeps what this process has imported. `shown`: its standard output stays where this process's goes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")  # here, so that it is there however soon the child ends
    word_file(log).unlink(missing_ok=True)
    changes = {**(environment or {}), WORD_FILE: str(word_file(log).absolute())}
    work = (module, list(arguments), log, changes, shown)
    context: Any = multiprocessing.get_context("fork" if forked else "spawn")
    process = context.Process(target=_run, args=work)
    process.start()
    return Child(process, log)


def _run(module: str, arguments: list[str], log: Path, environment: dict[str, str], shown: bool) -> None:
    """In the child."""
    end_with_parent()
    os.environ.update(environment)
    with log.open("ab") as out:
        for stream in (sys.stderr,) if shown else (sys.stdout, sys.stderr):
            os.dup2(out.fileno(), stream.fileno())
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except UserError as error:
        leave_word(error)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def end_with_parent() -> None:
    """From now on this process ends when the one that started it is gone, however that ended."""
    started_by = multiprocessing.parent_process()
    parent = os.getppid() if started_by is None else started_by.pid

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os.kill(os.getpid(), signal.SIGTERM)  # a launcher passes it on to its own children
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def leave_word(error: UserError) -> None:
    """In a child, or in a process that one has started: hand the user's line up."""
    if file := os.environ.get(WORD_FILE):
        Path(file).parent.mkdir(parents=True, exist_ok=True)  # a refused command has left nothing behind
        Path(file).write_text(str(error))


def take_word(log: Path) -> str | None:
    """The line that the child with this log has left, if it has; it is taken away."""
    try:
        word = word_file(log).read_text().strip()
    except FileNotFoundError:
        return None
    word_file(log).unlink()
    return word


def last_line(log: Path) -> str:
    """What a child that left no word said last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def word_file(log: Path) -> Path:
    """Where the child with this log leaves its word."""
    return log.with_suffix(".error")
