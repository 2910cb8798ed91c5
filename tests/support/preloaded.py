"""Imported by a forkserver whose children train and evaluate, without the six seconds of vLLM."""

from runners.train.patches import leave_out_vllm

leave_out_vllm()

import runners.train.run  # noqa: E402, F401
