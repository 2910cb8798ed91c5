"""This process among those of its run, as torchrun and accelerate tell it."""

import os


def is_launched() -> bool:
    """Whether a launcher has started this process as one of a run's."""
    return "WORLD_SIZE" in os.environ


def world_size() -> int | None:
    """Processes of the run; None where no launcher has started this one."""
    return int(os.environ["WORLD_SIZE"]) if is_launched() else None


def rank() -> int:
    """The number of this process among those of the run; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))
