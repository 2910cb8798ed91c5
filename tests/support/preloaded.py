"""Imported by a forkserver whose children are commands: what they all import, without the six seconds of vLLM."""

# ruff: noqa: E402

import gc
import sys
from importlib import import_module

sys.dont_write_bytecode = False  # as in tests/conftest.py: this process has the flag of its parent's start

gc.disable()

from runners.launch.local import PRELOADED
from runners.train.patches import leave_out_vllm

leave_out_vllm()
for name in (
    *PRELOADED,
    "runners.train.run",
    "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "reports.writers.folder",
    "cli",
):
    import_module(name)
gc.collect()
gc.freeze()  # no child's collector looks at it again, .3 s every time
gc.enable()
