"""What is not needed is not imported: TRL imports vLLM wherever it is installed, which costs six seconds of CPU."""

import os


def leave_out_vllm(unless: bool = False) -> None:
    """Call before anything imports TRL's trainer, in a process that samples with transformers."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; of the CPU build alone, which would take half of all
    if not unless:
        from trl import import_utils

        import_utils.is_vllm_available = lambda min_version=None: False
