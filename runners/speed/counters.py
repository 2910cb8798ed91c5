"""What a pass computes, counted and not timed: the same on every machine."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten


class Work(NamedTuple):
    """Floating-point operations; tokens through the decoder; pictures through the tower; rows through the head.

    Attention is billed as if nothing were masked, as PyTorch's counter does. Fused GPU kernels for the head are not
    seen: there its rows are 0, and its operations missing.
    """

    flops: int
    tokens: int
    pictures: int
    head_rows: int


def count(model: Any, call: Callable[[], object]) -> Work:
    """Of one call that forwards `model`, a Qwen3-VL, whatever layout it uses. Head rows are counted without gradient
    alone: with one, the backward pass multiplies by the head as well."""
    seen = {"tokens": 0, "pictures": 0}

    def tokens(_: Any, inputs: Any) -> None:
        seen["tokens"] += inputs[0][..., 0].numel()

    def pictures(_: Any, inputs: Any, kwargs: Any) -> None:
        seen["pictures"] += len(kwargs["grid_thw"] if "grid_thw" in kwargs else inputs[1])

    head = _HeadRows(model.get_output_embeddings().weight)
    flops = FlopCounterMode(display=False, custom_mapping=_FLASH_ON_CPU)
    with ExitStack() as stack:
        stack.callback(model.model.language_model.norm.register_forward_pre_hook(tokens).remove)
        stack.callback(model.model.visual.register_forward_pre_hook(pictures, with_kwargs=True).remove)
        stack.enter_context(flops)
        stack.enter_context(head)
        call()
    return Work(flops.get_total_flops(), seen["tokens"], seen["pictures"], head.entries // head.vocabulary)


class _HeadRows(TorchDispatchMode):
    """Counts the entries of all products with the head, which the kernels compute tile by tile and without a module."""

    def __init__(self, weight_VD: torch.Tensor) -> None:
        super().__init__()
        self.own, self.vocabulary, self.entries = weight_VD.untyped_storage().data_ptr(), len(weight_VD), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in (aten.mm, aten.addmm) and any(
            isinstance(a, torch.Tensor) and a.untyped_storage().data_ptr() == self.own for a in args
        ):
            self.entries += out.numel()
        return out


def _forward(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    batch, heads, length, size = query
    return int(4 * batch * heads * length * key[2] * size)


def _backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    batch, heads, length, size = query
    return int(10 * batch * heads * length * key[2] * size)


# PyTorch's counter knows the flash kernels of GPUs alone.
_FLASH_ON_CPU = {
    aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}
