"""Starting a run on several processes: the same command again, under accelerate."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from eval.core.errors import UserError
from runners.run.config import Settings

ROOT = Path(__file__).parents[2]
LAUNCH = Path(__file__).parent / "accelerate"
ERROR_FILE = "VLM_BENCH_ERROR_FILE"  # where a child leaves the line that its user should read


def is_launched() -> bool:
    return "WORLD_SIZE" in os.environ or ERROR_FILE in os.environ


def rank() -> int:
    """The number of this process among those of the run; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def launch_file(settings: Settings) -> Path:
    """The accelerate configuration of the run's sharding."""
    return LAUNCH / ("ddp.yaml" if settings.train.sharding == "none" else "fsdp2.yaml")


def launch_command(settings: Settings, gpus: bool, arguments: list[str]) -> list[str]:
    """`cli.py <arguments>` on the run's processes: accelerate with the file of its sharding, torchrun where no GPU is
    (accelerate would ask for MPI there)."""
    count = str(settings.train.processes)
    accelerate = ["accelerate.commands.launch", "--config_file", str(launch_file(settings)), "--num_processes", count]
    torchrun = ["torch.distributed.run", "--nproc_per_node", count, "--rdzv_backend", "c10d"]
    free_port = ["--main_process_port", "0"] if gpus else ["--rdzv_endpoint", "localhost:0"]
    return [sys.executable, "-m", *(accelerate if gpus else torchrun), *free_port, str(ROOT / "cli.py"), *arguments]


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


def relaunch(settings: Settings, arguments: list[str], log: Path) -> None:
    """Run this command on `train.processes` processes: their chatter goes to `log`, the first one's bar is shown.

    Raises UserError with a child's own line, or with the log's place where a child ended otherwise.
    """
    import torch

    said = log.with_suffix(".error")
    said.unlink(missing_ok=True)
    gpus = torch.cuda.is_available()
    command = launch_command(settings, gpus, arguments)
    environment = {**os.environ, ERROR_FILE: str(said), **({} if gpus else {"ACCELERATE_USE_CPU": "true"})}
    with log.open("w") as errors:
        code = subprocess.run(command, stderr=errors, env=environment, check=False).returncode
    if code and said.exists():
        raise UserError(said.read_text().strip())
    if code:
        raise ChildFailed(f"a process ended with an error, see {log}")


class ChildFailed(RuntimeError):
    """A launched process failed in a way that is a bug and not the user's mistake."""


def leave_word(error: UserError) -> None:
    """In a launched process: hand the line to the command that launched it."""
    if file := os.environ.get(ERROR_FILE):
        Path(file).write_text(str(error))
