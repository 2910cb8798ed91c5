"""How far vLLM's own log-probabilities lie from the policy's, and what that weighs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from eval.core.errors import UserError


def require_close(parts: Sequence[float], step: int, limit: float) -> None:
    """`parts`: what the micro-batches of a step add to the mean distance of vLLM's log-probabilities from the policy's.
    Raises UserError where it is above `limit`."""
    if (apart := sum(parts) / len(parts)) > limit:
        raise UserError(
            f"step {step}: vLLM's log-probabilities are {apart:.3g} nats a token from the policy's, more than "
            f"train.vllm_max_difference={limit:g}: it samples with other weights, pictures or settings than are "
            "trained; --set train.vllm=false samples with transformers"
        )


def sampling_ratio(
    policy_BT: Tensor, sampling_BT: Tensor, mask_BT: Tensor, mode: str, low: float | None, high: float | None
) -> Tensor:
    """Importance ratios policy / vLLM, (B, T) or, of a whole sequence, (B, 1): cut, or 0, beyond the bounds.

    `mode` is TRL's vllm_importance_sampling_mode: {token,sequence}_{truncate,mask}; a log-probability that vLLM could
    not give is NaN and counts as equal. Source: truncated importance sampling as in trl/trainer/grpo_trainer.py.
    """
    level, _, how = mode.partition("_")
    log_ratio = ((policy_BT - sampling_BT) * mask_BT).nan_to_num(nan=0.0)
    ratio = (log_ratio.sum(-1, keepdim=True) if level == "sequence" else log_ratio).exp()
    if how == "truncate":
        return ratio.clamp(low, high)
    lowest, highest = -math.inf if low is None else low, math.inf if high is None else high
    return torch.where((ratio < lowest) | (ratio > highest), 0.0, ratio)
