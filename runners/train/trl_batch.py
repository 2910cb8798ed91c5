"""TRL's batch, a dictionary of padded tensors, read as rows; and which of its rows a loss needs."""

from typing import Any

import torch
from torch import Tensor

from methods import Method
from runners.forward.batch import PICTURES, Rows

# What TRL keeps of pictures, where "pictures" has what the processor makes of each row alone.
APART = ("pixel_values", "pixel_attention_mask", "spatial_shapes", "image_sizes", "image_position_ids")
TYPES = ("mm_token_type_ids", "token_type_ids")  # of Qwen-VL and of Gemma, among others


def rows_of(ids: Tensor, mask: Tensor, length: int, **more: Any) -> Rows:
    """The rows of whole sequences, whose last `length` tokens are the completion."""
    types_name = next((name for name in TYPES if more.get(name) is not None), TYPES[0])
    types, apart = more.get(types_name), more.get("pictures")
    return Rows(
        ids[:, :-length],
        mask[:, :-length],
        ids[:, -length:],
        mask[:, -length:],
        None if types is None else types[:, : ids.shape[1] - length],
        {} if apart else {k: more[k] for k in PICTURES if more.get(k) is not None and len(more[k])},  # or all are text
        more.get("num_images") or [],
        apart or [],
        types_name,
    )


def student_rows(batch: dict[str, Any]) -> Rows:
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    return rows_of(ids, mask, batch["completion_ids"].shape[1], **batch)


def pictures_on_host(batch: dict[str, Any], fields: list[dict[str, Tensor]] | None) -> dict[str, Any]:
    """Pictures wait there: a pass takes to the device what it shows, once. `fields`: of each row, in place of TRL's."""
    if fields is None:
        return batch | {name: batch[name].cpu() for name in PICTURES if name in batch}
    return {name: value for name, value in batch.items() if name not in APART} | {"pictures": fields}


def has_gradient(batch: dict[str, Any], method: Method, kl: bool) -> Tensor:
    """(B,), bool: the rows that the loss has a gradient in."""
    advantages = batch["advantages"]
    needed_B = torch.zeros(len(advantages), dtype=torch.bool, device=advantages.device)
    if method.policy_gradient and kl:
        return ~needed_B
    if method.policy_gradient:
        needed_B |= advantages.ne(0) if advantages.dim() == 1 else advantages.ne(0).any(1)
        needed_B |= batch.get("asked", needed_B)
    if method.distils:
        for name in method.teachers:
            needed_B |= batch[f"{name}/told"]
    return needed_B


def needed_rows(batch: dict[str, Any], method: Method, kl: bool) -> list[int]:
    """Those rows, and at least one: a process that skipped its forward pass would leave the others waiting."""
    return has_gradient(batch, method, kl).nonzero()[:, 0].tolist() or [0]
