"""Jobs as processes of this machine, forked from one that has done their imports and computes nothing itself."""

import os
from importlib import import_module
from pathlib import Path

from eval.core import child
from runners.launch.job import Job

# Imported once: ten seconds of CPU that each job would spend again.
PRELOADED = ["transformers.trainer", "peft", "datasets", "lm_eval.evaluator", "lm_eval.models.hf_vlms"]


class Local:
    """The launcher of one machine; `logs` is the folder of its jobs' output."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        # Asking the driver's library instead of starting CUDA, which no forked process could start again.
        os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

    def start(self, job: Job) -> child.Child:
        if job.progress() < job.steps:  # else torch is enough to find out that nothing is left
            preload()
        return child.start("cli", job.arguments, self._logs / f"{job.title.replace(' ', '_')}.log", forked=True)


def preload() -> None:
    for name in PRELOADED:
        import_module(name)
