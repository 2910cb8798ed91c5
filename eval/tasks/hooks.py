"""What the YAML files beside it call. By them lm-eval's own command finds the benches; all else a bench says itself."""

import sys
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask

sys.path.insert(0, str(Path(__file__).parents[2]))  # lm-eval's own command imports this file by its path

from eval.benches import BENCHES
from eval.tasks.config import task_config


class BenchTask(ConfigurableTask):  # type: ignore[misc]
    """The task of the bench that a YAML file names; `config` also carries the command's --metadata."""

    def __init__(self, config: dict[str, Any]) -> None:
        ours = task_config(BENCHES[config["task"]])
        super().__init__(config={**ours, "metadata": {**ours["metadata"], **config["metadata"]}})
