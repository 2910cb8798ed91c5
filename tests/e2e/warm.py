"""Commands of this program, and others that import as much, in processes that are forked from one which has done the
imports: each would otherwise spend up to fifteen seconds on them."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from runners.sweep import PRELOADED

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(PRELOADED)


class Finished(NamedTuple):
    """As subprocess.run says it."""

    returncode: int
    stdout: str
    stderr: str


def started(folder: Path, said: Path, *words: str, main: Callable[[], None] | None = None) -> Any:
    """The process of `cli.py words` in `folder`, or of another `main` that reads `words`; what it says goes to
    `said`/stdout and stderr."""
    process = context.Process(target=_command, args=(folder, words, said, main))
    process.start()
    return process


def cli(folder: Path, *words: str, main: Callable[[], None] | None = None) -> Finished:
    """The same, when it has ended."""
    with tempfile.TemporaryDirectory() as said:
        process = started(folder, Path(said), *words, main=main)
        process.join()
        assert process.exitcode is not None
        return Finished(process.exitcode, *((Path(said) / name).read_text() for name in ("stdout", "stderr")))


def _command(folder: Path, words: tuple[str, ...], said: Path, main: Callable[[], None] | None) -> None:
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        with (said / name).open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    sys.argv = ["cli.py", *words]
    if main is None:
        from cli import main
    assert main is not None
    main()
