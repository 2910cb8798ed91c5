"""Opening a run before anything heavy is imported: mistakes and finished runs are answered at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from eval.core.errors import UserError
from eval.engines.requests import vllm_version
from methods import Method
from runners.run import lock
from runners.run.config import Settings
from runners.run.model import locate
from runners.run.registry import complete, label
from runners.run.run_dir import RunDir, Status
from runners.run.world import rank, require_devices, world_size

Opened = tuple[Settings, Method, Status | Literal["new"]]
FIRST_S = 60.0  # how long a run's other processes wait for the first one to create it


@contextmanager
def opened(settings: Settings, run: RunDir, suite: str) -> Iterator[Opened]:
    """As `open_run`; inside, nobody else works on the run. Raises InUse where somebody does."""
    settings, method = checked(settings)  # a mistake leaves no folder behind, not even for the lock
    with lock.held(run.lock):
        deadline = time.monotonic() + FIRST_S
        while rank() != 0 and not (run.path / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield settings, method, run.open(settings, label(settings, method), suite, settings.model.path)


def open_run(settings: Settings, run: RunDir, suite: str) -> Opened:
    """The complete settings, the method, and what the run's folder held. Creates the run where there was none.

    Raises UserError for an unknown parameter, an incomplete model folder, a missing vLLM, a wrong number of processes,
    a foreign folder, or a run with other settings.
    """
    settings, method = checked(settings)
    return settings, method, run.open(settings, label(settings, method), suite, settings.model.path)


def checked(settings: Settings) -> tuple[Settings, Method]:
    """The complete settings and the method, after all that can be refused without reading data or weights."""
    settings, method = complete(settings)
    locate(settings.model.path)
    if missing := [name for name in settings.train.report_to if find_spec(name) is None]:
        raise UserError(f"train.report_to: {missing[0]} is not installed: uv run --extra {missing[0]} cli.py …")
    if settings.train.processes > 1:
        require_devices(settings.train.processes)
    if settings.train.vllm:
        vllm_version()
    world = world_size()
    if world not in (None, settings.train.processes):
        raise UserError(
            f"train.processes is {settings.train.processes} and {world} process(es) run: leave the launching to "
            f"`cli.py train`, or --set train.processes={world}"
        )
    return settings, method
