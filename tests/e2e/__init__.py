"""Tests. Here nothing samples through TRL with vLLM, so none pays for importing it."""

from runners.imports import leave_out_vllm

leave_out_vllm()
