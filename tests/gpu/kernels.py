"""The attention of shared prompts against the same over repeated keys, on a device."""

import torch
from torch import Tensor

from runners.forward import group_attention
from runners.forward.group_attention import Segment

# Rounding of each dtype against float64, relative in norm.
ALLOWED = {torch.float32: 1e-4, torch.bfloat16: 0.02}
HEADS, KV, SIZE, PROMPT, LENGTHS = 16, 8, 128, 257, [64, 1, 33, 200]


def kernel_errors(device: str, dtype: torch.dtype, head_size: int = SIZE) -> dict[str, float]:
    """Relative error of the result and of each gradient against float64 with all keys repeated; of the kernel that the
    device would use, and `fused`: 1 where there is one."""
    group_attention._kernel.cache_clear()
    random = torch.Generator().manual_seed(0)
    tokens = sum(LENGTHS)
    shapes = [(HEADS, tokens), (KV, tokens), (KV, tokens), (KV, PROMPT), (KV, PROMPT)]
    wide = [torch.randn(1, *shape, head_size, generator=random, dtype=torch.float64) for shape in shapes]
    weight = torch.randn(1, HEADS, tokens, head_size, generator=random, dtype=torch.float64)
    exact = _with_gradients(group_attention._expanded, [x.to(device) for x in wide], weight.to(device))
    found = _with_gradients(group_attention.group_attention, [x.to(device, dtype) for x in wide], weight.to(device))
    names = ("result", "query", "key", "value", "prompt's key", "prompt's value")
    errors = {name: float((a.double() - b).norm() / b.norm()) for name, a, b in zip(names, found, exact, strict=True)}
    fused = group_attention._kernel(torch.device(device), dtype, head_size) is not None
    return {**errors, "fused": float(fused)}


def _with_gradients(way: object, inputs: list[Tensor], weight: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    segment = Segment.of(0, PROMPT, LENGTHS, leaves[0].device)
    out = way(segment, *leaves, leaves[0].shape[-1] ** -0.5)  # type: ignore[operator]
    out.backward(weight.to(out))
    return [out.detach(), *(x.grad for x in leaves if x.grad is not None)]
