"""Opening a run before anything heavy is imported: mistakes and finished runs are answered at once."""

from typing import Literal

from eval.core.errors import UserError
from methods import Method
from runners.run.config import Settings
from runners.run.model import locate
from runners.run.registry import complete, label
from runners.run.run_dir import RunDir, Status
from runners.run.world import world_size


def open_run(settings: Settings, run: RunDir, suite: str) -> tuple[Settings, Method, Status | Literal["new"]]:
    """The complete settings, the method, and what the run's folder held. Creates the run where there was none.

    Raises UserError for an unknown parameter, an incomplete model folder, a wrong number of processes, a foreign
    folder, or a run with other settings.
    """
    settings, method = complete(settings)
    locate(settings.model.path)
    world = world_size()
    if world not in (None, settings.train.processes):
        raise UserError(
            f"train.processes is {settings.train.processes} and {world} process(es) run: leave the launching to "
            f"`cli.py train`, or --set train.processes={world}"
        )
    return settings, method, run.open(settings, label(settings, method), suite, settings.model.path)
