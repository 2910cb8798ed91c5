"""Commands of this program in processes of their own, forked from one that has done the imports: each would otherwise
spend up to fifteen seconds on them."""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from runners.sweep import PRELOADED

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


class Finished(NamedTuple):
    """As subprocess.run says it."""

    returncode: int
    stdout: str
    stderr: str


def started(folder: Path, said: Path, *words: str) -> Any:
    """The process of `cli.py words` in `folder`; what it says goes to `said`/stdout and stderr."""
    process = _context.Process(target=_command, args=(folder, words, said))
    process.start()
    return process


def cli(folder: Path, *words: str) -> Finished:
    """`cli.py words` in `folder`, until it ends."""
    with tempfile.TemporaryDirectory() as said:
        process = started(folder, Path(said), *words)
        process.join()
        assert process.exitcode is not None
        return Finished(process.exitcode, *((Path(said) / name).read_text() for name in ("stdout", "stderr")))


def _command(folder: Path, words: tuple[str, ...], said: Path) -> None:
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        with (said / name).open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    sys.argv = ["cli.py", *words]
    import cli

    cli.main()
