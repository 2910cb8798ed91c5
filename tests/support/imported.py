"""What commands of ours import, imported once by the process that they are forked from, and out of the collector's way."""

import gc
import sys
from importlib import import_module

sys.dont_write_bytecode = False  # as in tests/conftest.py, from which this process has the flag alone

from runners.launch.local import PRELOADED
from runners.train.patches import leave_out_vllm

leave_out_vllm()  # no command of the tests samples with it
for name in (*PRELOADED, "runners.train.run", "transformers.models.qwen3_vl", "reports.writers.folder", "cli"):
    import_module(name)
gc.collect()
gc.freeze()
