"""This process among those of its run, as torchrun and accelerate tell it."""

import os

from eval.core.errors import UserError


def is_launched() -> bool:
    """Whether a launcher has started this process as one of a run's."""
    return "WORLD_SIZE" in os.environ


def world_size() -> int | None:
    """Processes of the run; None where no launcher has started this one."""
    return int(os.environ["WORLD_SIZE"]) if is_launched() else None


def rank() -> int:
    """The number of this process among those of the run; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def require_devices(processes: int) -> None:
    """Raises UserError where this machine has fewer GPUs than a run's processes, or no GPU and fewer cores."""
    import torch

    gpus = torch.cuda.device_count()
    there, what = (gpus, "GPUs") if gpus else (max(2, len(os.sched_getaffinity(0))), "cores")
    if processes > there and not is_launched():  # a launcher may have started it on several machines
        raise UserError(
            f"train.processes is {processes}, and this machine has {there} {what}: --set train.processes={there}"
        )
