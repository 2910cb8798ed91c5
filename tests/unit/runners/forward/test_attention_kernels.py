"""How a GPU's attention kernels are called, which needs none; and, where there is one, what they give."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from runners.forward import attention_kernels, group_attention
from runners.forward.attention_kernels import EFFICIENT, FLASH, Kernel
from runners.forward.group_attention import Segment
from tests.unit.runners.forward.test_group_attention import (
    HEADS,
    KV,
    SCALE,
    SIZE,
    C,
    G,
    P,
    attend,
    difference,
    in_float64,
    inputs,
    with_gradients,
)


class Calls(TorchDispatchMode):
    """The arguments of all attention calls, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[dict[str, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, schema = func(*args, **(kwargs or {})), func._schema
        if "scaled_dot_product" in schema.name:
            defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
            given = dict(zip([a.name for a in schema.arguments], args, strict=False))
            self.made.append(defaults | given | (kwargs or {}))
        return out


def calls_of_a_gpu(kernel: Kernel, dtype: torch.dtype, lengths: tuple[int, int]) -> list[dict[str, Any]]:
    """The two of a forward pass, on the prompt first, and the two of a backward pass."""
    own, prompt = lengths
    with FakeTensorMode(), Calls() as calls:
        shapes = [(G, own, HEADS), (G, own, KV), (G, own, KV), (1, prompt, KV), (1, prompt, KV)]
        tensors = [torch.empty(*s, SIZE, device="cuda", dtype=dtype).transpose(1, 2).requires_grad_() for s in shapes]
        segment = Segment.of(0, prompt, [own] * G, tensors[0].device)
        packed_ = [*(segment.packed(x).detach().requires_grad_() for x in tensors[:3]), *tensors[3:]]
        out = group_attention._Merged.apply(kernel, segment, *packed_, SCALE)
        grads = group_attention._Merged.backward(out.grad_fn, torch.empty_like(out))  # no GPU: called by hand
    assert (out.shape, out.dtype) == (packed_[0].shape, dtype)
    shapes_and_types = [(x.shape, dtype) for x in packed_]
    assert [x if x is None else (x.shape, x.dtype) for x in grads] == [None, None, *shapes_and_types, None]
    return calls.made


@pytest.mark.parametrize("lengths", [(C, P), (1, 40), (64, 1)])
@pytest.mark.parametrize(
    ("kernel", "dtype"), [(FLASH, torch.bfloat16), (FLASH, torch.float16), (EFFICIENT, torch.float32)]
)
def test_a_gpus_kernels_are_called_as_they_are_declared(
    kernel: Kernel, dtype: torch.dtype, lengths: tuple[int, int]
) -> None:
    assert attention_kernels.KERNELS["cuda", dtype] is kernel
    calls, (own, prompt) = calls_of_a_gpu(kernel, dtype, lengths), lengths
    assert [(c["is_causal"], c["dropout_p"], c["scale"]) for c in calls] == [(i % 2 == 1, 0.0, SCALE) for i in range(4)]
    folded = HEADS // KV * own
    for call, heads, queries, keys in zip(calls, (KV, HEADS) * 2, (folded, own) * 2, (prompt, own) * 2, strict=True):
        assert call["query"].shape == (G, heads, queries, SIZE)
        assert call["key"].shape == call["value"].shape == (G, heads, keys, SIZE)
        assert {call[x].stride(-1) for x in ("query", "key", "value")} == {1}
        if keys == prompt and heads == KV:
            assert call["key"].stride(0) == call["value"].stride(0) == 0, "the prompt's keys are there G times"
    for call, heads, queries, keys in zip(calls[2:], (KV, HEADS), (folded, own), (prompt, own), strict=True):
        assert call["out"].shape == (G, heads, queries, SIZE)
        assert call["logsumexp"].dtype == torch.float32
        assert call["logsumexp"].is_contiguous()
        if kernel is FLASH:
            assert call["logsumexp"].shape == (G, heads, queries)
            assert (call["cum_seq_q"], call["cum_seq_k"], call["max_q"], call["max_k"]) == (None, None, queries, keys)
            assert (call["philox_seed"].shape, call["philox_offset"].shape) == ((2,), ())
        else:
            assert call["logsumexp"].shape == (G, heads, -(-queries // 32) * 32)
            assert call["out"].transpose(1, 2).is_contiguous()
            assert (call["attn_bias"], call["grad_input_mask"]) == (None, [True, True, True, False])


@pytest.mark.parametrize(("kernel", "places"), [(FLASH, 5), (EFFICIENT, 32)])
def test_a_backward_kernel_reads_the_log_sum_exp_in_order_and_infinity_past_its_end(
    kernel: Kernel, places: int
) -> None:
    """Infinity, so that what is computed there weighs nothing. Neither kernel looks at how the tensor is laid out."""
    seen: list[Tensor] = []

    class Kept(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "attention_backward" not in func._schema.name:
                return func(*args, **(kwargs or {}))
            seen.append(args[[a.name for a in func._schema.arguments].index("logsumexp")])
            return (*args[1:4], None) if kernel is EFFICIENT else args[1:4]

    x, lse = torch.zeros(1, 2, 5, 8), torch.arange(10.0).view(1, 5, 2).transpose(1, 2)
    with Kept():
        kernel.backward(x, (x, x, x), x, lse, [torch.tensor(0)] * 2, False, SCALE)
    assert seen[0].is_contiguous()
    assert torch.equal(seen[0][..., :5], lse)
    assert torch.equal(seen[0][..., 5:], torch.full((1, 2, places - 5), torch.inf))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01), (torch.float16, 0.002)])
def test_on_a_gpu(dtype: torch.dtype, allowed: float) -> None:
    for size in (64, 128):
        for lengths in ((C, P), (1, 40), (75, 141), (300, 900)):
            tensors = inputs(dtype, "cuda", size, lengths)
            assert group_attention._kernel(tensors[0].device, dtype, size) is attention_kernels.KERNELS["cuda", dtype]
            found = with_gradients(attend, tensors)
            assert difference(found, in_float64(tensors)) < allowed, f"{size}, {lengths}"
