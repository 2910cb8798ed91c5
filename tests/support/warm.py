"""Commands of this program, and others that import as much, in processes that are forked from one which has done the
imports: each would otherwise spend up to fifteen seconds on them."""

import gc
import multiprocessing
import os
import runpy
import select
import socket
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

import transformers.tokenization_mistral_common  # noqa: F401  # which its first tokenizer imports
from PIL import Image
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from runners.run.config import load_preset
from runners.run.run_dir import versions
from tests.support.paths import ROOT

OURS = {"cli", "methods", "eval", "runners", "reports", "tests"}
context = multiprocessing.get_context("forkserver")
PRELOADED = ["tests.support.preloaded"]
context.set_forkserver_preload(PRELOADED)


def serve() -> None:
    """The server forked from this process, as long as nothing has run in it, instead of a new one that imports the same
    once more. What this process lacks is imported when the first process is asked for."""
    _first_times()
    address = connection.arbitrary_address("AF_UNIX")
    alive_r, alive_w = os.pipe()
    resource_tracker.ensure_running()
    sys.stdout.flush()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        pid = os.fork()
        if pid == 0:
            os.close(alive_w)  # which is closed everywhere when the server is to end
            try:
                select.select([listener, alive_r], [], [])
                forkserver.main(listener.fileno(), alive_r, PRELOADED)
            finally:
                os._exit(0)
    os.close(alive_r)
    own: Any = forkserver._forkserver
    own._forkserver_address, own._forkserver_alive_fd, own._forkserver_pid = address, alive_w, pid


def _first_times() -> None:
    """What a process does once and each command would, for its first model, picture and run: most of a second."""
    get_checkpoint_conversion_mapping("qwen3_vl")  # and those of all other families: 750 patterns
    Image.init()
    load_preset("cpu")
    versions()
    gc.freeze()


class Finished(NamedTuple):
    """As subprocess.run says it."""

    returncode: int
    stdout: str
    stderr: str


def started(folder: Path, said: Path, *words: str, main: Callable[[], None] | None = None, root: Path = ROOT) -> Any:
    """The process of `cli.py words` in `folder`, or of another `main` that reads `words`; what it says goes to
    `said`/stdout and stderr. `root`: the repository, or a copy, whose program it is."""
    process = context.Process(target=_command, args=(folder, words, said, main, root))
    process.start()
    return process


def cli(folder: Path, *words: str, main: Callable[[], None] | None = None, root: Path = ROOT) -> Finished:
    """The same, when it has ended."""
    with tempfile.TemporaryDirectory() as said:
        process = started(folder, Path(said), *words, main=main, root=root)
        process.join()
        assert process.exitcode is not None
        return Finished(process.exitcode, *((Path(said) / name).read_text() for name in ("stdout", "stderr")))


def python_m() -> None:
    """A `main`: `python -m` what the words say."""
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def two(target: Callable[..., None], *args: Any) -> list[int | None]:
    """Exit codes of two processes at once, of `target(rank, *args)` each."""
    processes = [context.Process(target=target, args=(rank, *args)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def launched(target: Callable[..., None], folder: Path, *args: Any) -> None:
    """`target(rank, folder, *args)` in two processes that are told what torchrun tells them, and have no GPU."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    codes = two(_one_of_two, port, folder, target, args)
    said = "".join((folder / f"stderr{rank}").read_text() for rank in range(2))
    assert codes == [0, 0], said[-3000:]
    assert "shared prefix:" not in said, "a layout that differs would be rows in disguise"


def _one_of_two(rank: int, port: int, folder: Path, target: Callable[..., None], args: tuple[Any, ...]) -> None:
    with (folder / f"stderr{rank}").open("wb") as said:
        os.dup2(said.fileno(), sys.stderr.fileno())
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    target(rank, folder, *args)


def _command(folder: Path, words: tuple[str, ...], said: Path, main: Callable[[], None] | None, root: Path) -> None:
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        with (said / name).open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    if root != ROOT:
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.path.insert(0, str(root))
    sys.argv = ["cli.py", *words]
    if main is None:
        from cli import main
    assert main is not None
    main()
