"""Attention of a group's completions to its prompt and to themselves, the prompt's keys there once.

One call of all completions' queries on the prompt, one causal call on the own tokens, merged by their log-sum-exps. A
GPU's kernels are compared, before their first use, with attention over repeated keys: that runs anywhere, and takes
their place where they differ.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention

from runners.forward.attention_kernels import KERNELS, ON_CPU, Kernel, Three


@dataclass(frozen=True)
class Segment:
    """Where the group starts, the prompt's length P, and the completions' lengths: N tokens, of (G, C) places.

    Which token is at each place (the first one where there is none), which places these are, and the place of each
    token; all None where the completions have the same length.
    """

    start: int
    prompt: int
    lengths: tuple[int, ...]
    token_GC: Tensor | None
    empty_GC: Tensor | None
    place_N: Tensor | None

    @classmethod
    def of(cls, start: int, prompt: int, lengths: list[int], device: torch.device) -> "Segment":
        if len(set(lengths)) <= 1:
            return cls(start, prompt, tuple(lengths), None, None, None)
        steps_C, lengths_G = torch.arange(max(lengths)), torch.tensor(lengths)
        first_G = lengths_G.cumsum(0) - lengths_G
        real_GC = steps_C[None] < lengths_G[:, None]
        token_GC = torch.where(real_GC, first_G[:, None] + steps_C[None], 0).flatten()
        place_N = real_GC.flatten().nonzero()[:, 0]
        return cls(start, prompt, tuple(lengths), *(x.to(device) for x in (token_GC, ~real_GC, place_N)))

    @property
    def end(self) -> int:
        return self.start + self.prompt + sum(self.lengths)

    def padded(self, x: Tensor) -> Tensor:
        """(1, h, N, ...) -> (G, h, C, ...), with the group's first token at the empty places."""
        x = x[0] if self.token_GC is None else x[0].index_select(1, self.token_GC)
        return x.unflatten(1, (len(self.lengths), -1)).transpose(0, 1)

    def packed(self, x: Tensor) -> Tensor:
        """(G, h, C, ...) -> (1, h, N, ...)"""
        flat = x.transpose(0, 1).flatten(1, 2)
        return (flat if self.place_N is None else flat.index_select(1, self.place_N))[None]


# Relative difference of norms: rounding is a quarter or less, a wrong block of queries or keys far above.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.02, torch.float16: 0.005}


def group_attention(
    segment: Segment, query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor, scale: float
) -> Tensor:
    """Queries (1, h, N, d) of a group's completions over their prompt's keys and values (1, kv, P, d) and their own,
    (1, kv, N, d) each and causal: (1, h, N, d)."""
    # Under autocast what has been through a norm is wider than the values.
    alike = query.dtype == key.dtype == value.dtype
    kernel = _kernel(query.device, query.dtype, query.shape[-1]) if alike else None
    if kernel is None:
        return _expanded(segment, query, key, value, key_P, value_P, scale)
    out: Tensor = _Merged.apply(kernel, segment, query, key, value, key_P, value_P, scale)
    return out


@cache
def _kernel(device: torch.device, dtype: torch.dtype, head_size: int) -> Kernel | None:
    """The device's kernels, or None: it has none, or one line on stderr has said what is wrong with them."""
    kernel = KERNELS.get((device.type, dtype))
    if kernel is None or kernel is ON_CPU:  # which is compared in the tests
        return kernel
    if head_size % 8 or head_size > 256:
        return None
    try:
        worst = _difference(kernel, device, dtype, head_size)
        fault = f"differs by {worst:.2g} from that over repeated keys"
        right = worst <= TOLERANCE[dtype]
    except Exception as error:  # of whatever build of PyTorch
        fault, right = f"fails ({str(error).strip().partition(chr(10))[0]})", False
    if not right:
        print(
            f"shared prefix: attention merged by log-sum-exp {fault} ({dtype}, {device.type}, head size {head_size}); "
            "the prompt's keys are repeated for each completion from here on",
            file=sys.stderr,
            flush=True,
        )
    return kernel if right else None


def _difference(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_size: int) -> float:
    """The largest relative difference between the two attentions, of result and gradients, on random tensors.

    Whatever the pass in which it happens to run: with gradient, in `dtype`, and unseen by gradient checkpointing, which
    counts what a layer saves and would miss it when the layer runs again.
    """
    random = torch.Generator().manual_seed(0)
    kv, heads, P, lengths = 2, 4, 141, [75, 75, 40]  # more than one block of each, and no whole ones

    def drawn(heads: int, length: int) -> Tensor:
        """As in a packed row, which holds the tokens of all heads one after another."""
        return torch.randn(1, length, heads, head_size, generator=random).to(device, dtype).transpose(1, 2)

    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        saved_tensors_hooks(lambda x: x, lambda x: x),
    ):
        segment, N = Segment.of(0, P, lengths, device), sum(lengths)
        inputs = [drawn(heads, N), drawn(kv, N), drawn(kv, N), drawn(kv, P), drawn(kv, P)]
        inputs, grad, scale = [x.requires_grad_() for x in inputs], drawn(heads, N), 2 * head_size**-0.5
        ways: tuple[Callable[..., Tensor], ...] = (partial(_Merged.apply, kernel), _expanded)
        outs = [attend(segment, *inputs, scale) for attend in ways]
        found = [[out.detach(), *torch.autograd.grad(out, inputs, grad)] for out in outs]
        pairs = [(a.double(), b.double()) for a, b in zip(*found, strict=True)]
        return float(torch.stack([(a - b).norm() / b.norm() for a, b in pairs]).max())


def _expanded(
    segment: Segment, query: Tensor, key: Tensor, value: Tensor, key_P: Tensor, value_P: Tensor, scale: float
) -> Tensor:
    """`group_attention` with the prompt's keys repeated G times: any device."""
    query, key, value = (segment.padded(x) for x in (query, key, value))
    G, heads, C, _ = query.shape
    P = key_P.shape[2]
    ones = torch.ones(C, P + C, dtype=torch.bool, device=query.device)
    # Repeated for all heads: with a mask and grouped queries CUDA has only the kernel that writes all scores out.
    repeat = heads // key.shape[1]
    keys = torch.cat([key_P.expand(G, -1, -1, -1), key], 2).repeat_interleave(repeat, 1)
    values = torch.cat([value_P.expand(G, -1, -1, -1), value], 2).repeat_interleave(repeat, 1)
    return segment.packed(scaled_dot_product_attention(query, keys, values, attn_mask=ones.tril(P), scale=scale))


class _Merged(torch.autograd.Function):
    """The same without repeating them. The backward pass gives both partial calls the global result and log-sum-exp, as
    ring attention does."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, segment: Segment, *args: Any) -> Tensor:  # type: ignore[override]
        query, key, value, key_P, value_P, scale = args
        asking = segment.padded(query) if kernel.split else query
        on_prompt, lse_prompt, *rest = kernel.forward(_to_prompt(asking, key_P, value_P), False, scale)
        on_prompt, lse_prompt = on_prompt.reshape(asking.shape), lse_prompt.reshape(asking.shape[:-1])
        if kernel.split:
            on_prompt, lse_prompt = segment.packed(on_prompt), segment.packed(lse_prompt)
        on_own, lse_own, *rest_own = kernel.forward(_to_own(segment, query, key, value), True, scale)
        on_own, lse_own = segment.packed(on_own), segment.packed(lse_own)
        lse = torch.logaddexp(lse_prompt, lse_own)
        out = on_prompt * (lse_prompt - lse).exp()[..., None]  # in float32 at least, as the log-sum-exps are
        out = (out + on_own * (lse_own - lse).exp()[..., None]).to(query.dtype)
        ctx.save_for_backward(query, key, value, key_P, value_P, out, lse, *rest, *rest_own)
        ctx.kernel, ctx.segment, ctx.scale = kernel, segment, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        kernel, segment, scale = ctx.kernel, ctx.segment, ctx.scale
        query, key, value, key_P, value_P, out, lse, *rest = ctx.saved_tensors
        rest, rest_own = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        padded = [segment.padded(x) for x in (grad, out, lse)]
        if segment.empty_GC is not None:  # infinity: what is computed at empty places then weighs nothing
            padded[-1] = padded[-1].masked_fill(segment.empty_GC[:, None], torch.inf)
        asking, known = (segment.padded(query), padded) if kernel.split else (query, [grad, out, lse])
        three = _to_prompt(asking, key_P, value_P)
        known = [x.reshape(three[0].shape[: x.dim()]) for x in known]
        on_prompt, of_key_P, of_value_P = kernel.backward(known[0], three, *known[1:], rest, False, scale)
        of_key_P, of_value_P = (x.sum(0, keepdim=True) if kernel.split else x for x in (of_key_P, of_value_P))
        on_prompt = on_prompt.reshape(asking.shape)
        three = _to_own(segment, query, key, value)
        on_own, of_key, of_value = kernel.backward(padded[0], three, *padded[1:], rest_own, True, scale)
        of_key, of_value = (x.unflatten(1, (key.shape[1], -1)).sum(2) for x in (of_key, of_value))
        on_own, of_key, of_value = (segment.packed(x) for x in (on_own, of_key, of_value))
        of_query = on_own + (segment.packed(on_prompt) if kernel.split else on_prompt)
        return None, None, of_query, of_key, of_value, of_key_P, of_value_P, None


def _to_prompt(query: Tensor, key_P: Tensor, value_P: Tensor) -> Three:
    """Queries (B, h, L, d) with those of all heads that read one key head in one row, (B, kv, h/kv * L, d); and the
    prompt's keys and values for each of B, without a copy."""
    B, _, _, d = query.shape
    key_P, value_P = (x.expand(B, -1, -1, -1) for x in (key_P, value_P))
    return query.reshape(B, key_P.shape[1], -1, d), key_P, value_P


def _to_own(segment: Segment, query: Tensor, key: Tensor, value: Tensor) -> Three:
    query, key, value = (segment.padded(x) for x in (query, key, value))
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    return query, key, value
