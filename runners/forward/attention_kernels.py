"""Attention kernels that give their log-sum-exp as a second result, which merging two partial softmaxes needs.

Their backward passes take result and log-sum-exp as arguments, and so can be given those of the whole.
"""

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

aten = torch.ops.aten
flash = aten._scaled_dot_product_flash_attention_for_cpu


Three = tuple[Tensor, Tensor, Tensor]


class Kernel(NamedTuple):
    """One device's attention of queries (B, h, L, d) to keys and values (B, h, K, d), in two functions.

    forward(qkv, causal, scale): the result (B, h, L, d), the natural log-sum-exp (B, h, L), and what `backward` wants
    besides. backward(grad, qkv, out, lse, rest, causal, scale): the gradients of the three.
    split: whether each completion's queries are a batch row of their own on the prompt's keys, and not all one row. A
    GPU works on few blocks of keys at once in one row; a CPU then has fewer gradients of keys to add up.
    """

    forward: Callable[[Three, bool, float], tuple[Tensor, ...]]
    backward: Callable[[Tensor, Three, Tensor, Tensor, list[Tensor], bool, float], Three]
    split: bool


def _cpu(qkv: Three, causal: bool, scale: float) -> tuple[Tensor, ...]:
    return flash(*qkv, 0.0, causal, scale=scale)


def _cpu_backward(
    grad: Tensor, qkv: Three, out: Tensor, lse: Tensor, _: list[Tensor], causal: bool, scale: float
) -> Three:
    return aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad.contiguous(), *qkv, out, lse, 0.0, causal, scale=scale
    )


def _flash(qkv: Three, causal: bool, scale: float) -> tuple[Tensor, ...]:
    out, lse, _, _, _, _, seed, offset, _ = aten._scaled_dot_product_flash_attention(*qkv, 0.0, causal, scale=scale)
    return out, lse, seed, offset


def _flash_backward(
    grad: Tensor, qkv: Three, out: Tensor, lse: Tensor, rest: list[Tensor], causal: bool, scale: float
) -> Three:
    lengths = None, None, qkv[0].shape[2], qkv[1].shape[2]  # none of single rows: all are as long as the longest
    # The log-sum-exp is read as if contiguous, whether it is or not.
    return aten._scaled_dot_product_flash_attention_backward(
        grad, *qkv, out, lse.contiguous(), *lengths, 0.0, causal, *rest, scale=scale
    )


def _efficient(qkv: Three, causal: bool, scale: float) -> tuple[Tensor, ...]:
    out, lse, *rest = aten._scaled_dot_product_efficient_attention(*qkv, None, True, 0.0, causal, scale=scale)
    return out, lse[..., : out.shape[2]], *rest


def _efficient_backward(
    grad: Tensor, qkv: Three, out: Tensor, lse: Tensor, rest: list[Tensor], causal: bool, scale: float
) -> Three:
    # The log-sum-exp is read 32 queries at a time, also past the last one, and the result as if it were (B, L, h, d) in
    # memory, whether they are so or not.
    padded = pad(lse.contiguous(), (0, -lse.shape[-1] % 32), value=inf)
    out = out.transpose(1, 2).contiguous().transpose(1, 2)
    of_query, of_key, of_value, _ = aten._scaled_dot_product_efficient_attention_backward(
        grad, *qkv, None, out, padded, *rest, 0.0, [True, True, True, False], causal, scale=scale
    )
    return of_query, of_key, of_value


ON_CPU = Kernel(_cpu, _cpu_backward, split=False)
FLASH = Kernel(_flash, _flash_backward, split=True)
EFFICIENT = Kernel(_efficient, _efficient_backward, split=True)
KERNELS = {("cpu", dtype): ON_CPU for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)} | {
    ("cuda", torch.float32): EFFICIENT,
    ("cuda", torch.bfloat16): FLASH,
    ("cuda", torch.float16): FLASH,
}
