"""Starting a run on several processes: the same command again, under accelerate, or forked where no GPU is."""

import contextlib
import shlex
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from eval.core import child
from eval.core.errors import UserError, one_line
from runners.launch.local import preload
from runners.run import lock
from runners.run.config import Settings
from runners.run.run_dir import RunDir

ROOT = Path(__file__).parents[2]
LAUNCH = Path(__file__).parent / "accelerate"


def launch_file(settings: Settings) -> Path:
    """The accelerate configuration of the run's sharding."""
    return LAUNCH / ("ddp.yaml" if settings.train.sharding == "none" else "fsdp2.yaml")


def launch_command(settings: Settings, arguments: list[str]) -> list[str]:
    """The module, and its words, that run `cli.py <arguments>` on the run's GPUs."""
    words = ["--config_file", str(launch_file(settings)), "--num_processes", str(settings.train.processes)]
    return ["accelerate.commands.launch", *words, "--main_process_port", "0", str(ROOT / "cli.py"), *arguments]


def shown_commands(settings: Settings, preset: str, overrides: list[str]) -> list[str]:
    """What to type for a run, each command on a line that must not be broken."""
    words = ["cli.py", "train", "--preset", preset, "--method", settings.method]
    words += ["--seed", str(settings.seed)] if settings.seed else []
    words += [word for pair in overrides for word in ("--set", pair)]
    lines, count = ["Train it with:", shlex.join(["python", *words])], settings.train.processes
    if count > 1:
        file = str(launch_file(settings).relative_to(ROOT))
        launch = ["accelerate", "launch", "--config_file", file, "--num_processes", str(count), *words]
        lines += ["It starts its processes itself. With a launcher of your own it is:", shlex.join(launch)]
    return lines


def relaunch(settings: Settings, run: RunDir, arguments: list[str]) -> None:
    """Run this command on `train.processes` processes: their chatter goes to a log, the first one's bar is shown.

    Raises UserError with a child's own line, or ChildFailed with the log's place where a child ended otherwise. The
    run is marked as failed then: the first process, which does so by itself, may have been ended by another's failure.
    """
    try:
        _launch(settings, arguments, run.path / "processes.log")
    except (UserError, ChildFailed) as error:
        if not (run.path / "run.json").exists():  # the first process has discarded it, and has left its word
            with contextlib.suppress(OSError):
                for folder in (run.path, *run.path.parents[:3]):
                    folder.rmdir()
        elif lock.holder(run.lock) is None and not (isinstance(error, UserError) and run.discard()):
            run.update(status="failed", reason=one_line(error))
        raise


def _launch(settings: Settings, arguments: list[str], log: Path) -> None:
    import torch

    if torch.cuda.is_available():
        module, *words = launch_command(settings, arguments)
        children = [child.start(module, words, log, shown=True)]
    else:
        children = list(_forked(settings.train.processes, arguments, log))
    try:
        while any(one.poll() is None for one in children) and not any(one.poll() for one in children):
            time.sleep(0.05)
    finally:
        failed = [one for one in children if one.poll()]
        for one in children:
            one.cancel()
    if words := [word for one in children if (word := child.take_word(one.log))]:  # all are taken: none stays behind
        raise UserError(words[0])
    if failed:
        raise ChildFailed(f"a process ended with an error, see {failed[0].log}")


def _forked(count: int, arguments: list[str], log: Path) -> Iterator[child.Child]:
    """The run's processes without a launcher, which would spend ten seconds of imports on each, and ask for MPI."""
    preload()
    with contextlib.closing(socket.create_server(("localhost", 0))) as free:
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    for rank in range(count):
        own = log if rank == 0 else log.with_stem(f"{log.stem}-{rank}")
        environment = {key: str(value) for key, value in {**told, "RANK": rank, "LOCAL_RANK": rank}.items()}
        yield child.start("cli", arguments, own, environment, forked=True, shown=rank == 0)


class ChildFailed(RuntimeError):
    """A launched process failed in a way that is a bug and not the user's mistake."""
