"""What is not needed is not imported: TRL imports vLLM wherever it is installed, which costs six seconds of CPU."""


def leave_out_vllm(unless: bool = False) -> None:
    """Call before anything imports TRL's trainer, in a process that samples with transformers."""
    if not unless:
        from trl import import_utils

        import_utils.is_vllm_available = lambda min_version=None: False
