"""FSDP2, and what of accelerate's setting of it training cannot use."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule


def is_sharded(model: nn.Module) -> bool:
    """Whether processes share the weights, and so must forward and go back equally often."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def keep_float32(state: Any) -> None:
    """Let gradients be summed over the processes in float32, and log-probabilities leave the model as they are: of an
    accelerator's `state`, before it prepares a model. accelerate casts both to what the layers compute in."""
    plugin = getattr(state, "fsdp_plugin", None)
    if plugin is not None and plugin.mixed_precision_policy is not None:
        policy = plugin.mixed_precision_policy
        plugin.mixed_precision_policy = replace(policy, reduce_dtype=torch.float32, output_dtype=None)
