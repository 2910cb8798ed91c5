"""Rollouts with vLLM: a prompt is handed over once for all its rollouts, and how far vLLM's own log-probabilities lie
from the policy's is found in the update, not in a pass of its own."""

import copy
import math
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from trl import GRPOConfig

from runners.data.image_cache import content


def share_requests(llm: Any) -> None:
    """Let `llm.generate` (vllm.LLM) ask for n rollouts of a prompt where n equal ones follow each other.

    Their pictures are then preprocessed once and the prompt is read once, whatever vLLM's caches hold. The outputs are
    those of one request per prompt. Greedy decoding, of which vLLM takes no n, is left as it is.
    """
    generate = llm.generate

    def once(prompts: list[dict[str, Any]], sampling_params: Any, **kwargs: Any) -> list[Any]:
        if sampling_params.temperature == 0:
            out: list[Any] = generate(prompts, sampling_params=sampling_params, **kwargs)
            return out
        groups = [list(group) for _, group in groupby(prompts, _known)]
        several = [copy.copy(sampling_params) for _ in groups]
        for parameters, group in zip(several, groups, strict=True):
            parameters.n = len(group)
        outputs = generate([group[0] for group in groups], sampling_params=several, **kwargs)
        return [_alone(output, one) for output in outputs for one in output.outputs]

    llm.generate = once


def _known(prompt: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two requests one: their tokens and the contents of their pictures."""
    shown = prompt.get("multi_modal_data", {}).get("image", [])
    return tuple(prompt["prompt_token_ids"]), *map(content, shown if isinstance(shown, list) else [shown])


def _alone(output: Any, one: Any) -> Any:
    """The output of a request that asked for this rollout only."""
    out = copy.copy(output)
    out.outputs = [one]
    return out


def correction(
    batch: dict[str, Any], scored_K: Tensor, policy_BT: Tensor, arguments: GRPOConfig
) -> tuple[Tensor, Tensor]:
    """Importance ratios of a micro-batch of vLLM's rollouts, and the mean difference of log-probabilities.

    `scored_K`: the rows of `policy_BT` that count, the others having no gradient.
    """
    sampled_BT = batch["sampling_per_token_logps"]
    mask_BT = torch.zeros_like(batch["completion_mask"])
    mask_BT[scored_K] = batch["completion_mask"][scored_K]
    ratio = sampling_ratio(
        policy_BT,
        sampled_BT,
        mask_BT,
        arguments.vllm_importance_sampling_mode,
        arguments.vllm_importance_sampling_clip_min,
        arguments.vllm_importance_sampling_clip_max,
    )
    return ratio, (policy_BT - sampled_BT)[mask_BT.bool() & ~sampled_BT.isnan()].abs().mean().nan_to_num()


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
