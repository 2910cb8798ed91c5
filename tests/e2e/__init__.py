"""Tests. Here nothing samples through TRL with vLLM, so none pays for importing it."""

from runners.train.patches import leave_out_vllm

leave_out_vllm()
