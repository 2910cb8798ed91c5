"""Starting a run on several processes: the same command again, under accelerate or torchrun."""

import shlex
from pathlib import Path

from eval.core import child
from eval.core.errors import UserError, one_line
from runners.run import lock
from runners.run.config import Settings
from runners.run.run_dir import RunDir

ROOT = Path(__file__).parents[2]
LAUNCH = Path(__file__).parent / "accelerate"


def launch_file(settings: Settings) -> Path:
    """The accelerate configuration of the run's sharding."""
    return LAUNCH / ("ddp.yaml" if settings.train.sharding == "none" else "fsdp2.yaml")


def launch_command(settings: Settings, gpus: bool, arguments: list[str]) -> list[str]:
    """The module, and its words, that run `cli.py <arguments>` on the run's processes: accelerate with the file of its
    sharding, torchrun where no GPU is (accelerate would ask for MPI there)."""
    count, command = str(settings.train.processes), [str(ROOT / "cli.py"), *arguments]
    if gpus:
        file = str(launch_file(settings))
        words = ["--config_file", file, "--num_processes", count, "--main_process_port", "0"]
        return ["accelerate.commands.launch", *words, *command]
    words = ["--nproc_per_node", count, "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    return ["torch.distributed.run", *words, *command]


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
        if lock.holder(run.lock) is None and not (isinstance(error, UserError) and run.discard()):
            run.update(status="failed", reason=one_line(error))
        raise


def _launch(settings: Settings, arguments: list[str], log: Path) -> None:
    import torch

    gpus = torch.cuda.is_available()
    module, *words = launch_command(settings, gpus, arguments)
    launcher = child.start(module, words, log, {} if gpus else {"ACCELERATE_USE_CPU": "true"}, shown=True)
    try:
        code = launcher.wait()
    finally:
        launcher.cancel()
    if word := child.take_word(log):
        raise UserError(word)
    if code:
        raise ChildFailed(f"a process ended with an error, see {log}")


class ChildFailed(RuntimeError):
    """A launched process failed in a way that is a bug and not the user's mistake."""
