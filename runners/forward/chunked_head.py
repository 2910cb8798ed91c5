"""What a loss needs from the whole vocabulary, and its gradient, with the logits of one chunk of tokens at a time.

A divergence's gradient is formed in the forward pass, where both logits are at hand: four matrix products in all
(student, teacher, hidden states, head), nothing computed twice and no logits kept.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from runners.forward.lm_head import Head, HeadForm

KEEP = 1 << 26  # logits that may wait for the backward pass: 256 MiB in float32; more are computed there again
CACHED = 1 << 20  # logits that a CPU works on at once: larger tensors leave its caches, and each is paged in anew
WORTH = 128  # tokens for which a CPU reads a large head once


class States(NamedTuple):
    """What a model says of N tokens: the hidden states (N, D) that predict them, and its head."""

    hidden_ND: Tensor
    head: Head


# (student's logits (n, V), each teacher's (n, V), which of the N tokens) -> (n,)
Distill = Callable[[Tensor, Mapping[str, Tensor], slice], Tensor]


class Divergence(NamedTuple):
    """Of N tokens; only `loss` carries a gradient. The rest is float32, or float64 where the hidden states are."""

    loss: Tensor  # scalar: sum of coefficient x divergence
    divergence_N: Tensor
    entropy_N: Tensor  # of the student
    student_N: Tensor  # log-probability of the sampled token under the student
    teacher: Mapping[str, Tensor]  # and by its name (N,) under each teacher


def distil(
    hidden_ND: Tensor,
    head: Head,
    teachers: Mapping[str, States],
    ids_N: Tensor,
    temperature: float,
    distill: Distill,
    coefficient: Callable[[Tensor, slice], Tensor],
) -> Divergence:
    """Sum over the tokens of coefficient x distill(student's logits, teachers' logits), in nats.

    `distill` is a method's, with gradient through the student's logits alone. `coefficient(log-probabilities of
    the sampled tokens (n,), which of the N tokens)` gives (n,); no gradient goes through it. One backward pass through
    the loss is all there is: it turns the gradients into their multiples in place, and a second one raises.
    """
    dtype = _compute_dtype(hidden_ND)
    leaves = hidden_ND, head.weight_VD, head.bias_V
    wanted = [torch.is_grad_enabled() and x is not None and x.requires_grad for x in leaves]
    gradient = _Gradient(hidden_ND, head, dtype, wanted)
    heads = {name: states.head.to(dtype) for name, states in teachers.items()}

    def compare(where: slice, student_NV: Tensor, said: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Of some tokens; turns the student's logits into the loss's gradient."""
        student_N, entropy_N, _ = _statistics(student_NV, ids_N[where])
        chosen = [_chosen(teacher_NV, ids_N[where]) for teacher_NV in said.values()]
        weight_N = coefficient(student_N, where)
        with torch.set_grad_enabled(any(wanted)):
            leaf_NV = student_NV.detach().requires_grad_(any(wanted))
            divergence_N = distill(leaf_NV, said, where)
        if any(wanted):
            # The logits were divided by the temperature.
            upstream_N = (weight_N / temperature).to(divergence_N.dtype)
            (dlogits_NV,) = torch.autograd.grad(divergence_N, leaf_NV, upstream_N)
            student_NV.copy_(dlogits_NV)
        divergence_N = divergence_N.detach()
        return weight_N * divergence_N, divergence_N, entropy_N, student_N, *chosen

    parts = []
    with torch.no_grad():
        for chunk in _slices(0, len(ids_N), max(1, head.chunk // len(teachers))):
            student_NV = gradient.head(gradient.hidden_ND[chunk], temperature)
            logits = {
                name: heads[name](states.hidden_ND[chunk].to(dtype), temperature) for name, states in teachers.items()
            }
            slope_NV = gradient.head.slope(student_NV, temperature)
            for where, rows in _blocks(chunk, student_NV):
                parts.append(compare(where, student_NV[rows], {name: x_NV[rows] for name, x_NV in logits.items()}))
            if any(wanted):
                gradient.add(chunk, student_NV, slope_NV)
        weighted_N, divergence_N, entropy_N, student_N, *by_teacher = (
            torch.cat(column) for column in zip(*parts, strict=True)
        )
        loss = weighted_N.sum()
    if any(wanted):
        loss = _KnownGradient.apply(loss, *leaves, *gradient.result())
    return Divergence(loss, divergence_N, entropy_N, student_N, dict(zip(teachers, by_teacher, strict=True)))


def sampled(hidden_ND: Tensor, head: Head, ids_N: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of the sampled tokens, with gradient, and entropies (N,), without, in nats; float32.

    Logits are kept for the backward pass where they are few (KEEP), and computed there once more where not.
    """
    logp_N, entropy_N = _Sampled.apply(hidden_ND, *head, ids_N, temperature, torch.is_grad_enabled())
    return logp_N, entropy_N


@torch.no_grad()
def log_probs(hidden_ND: Tensor, head: Head, ids_N: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (N,) of the sampled tokens in float32, without gradient."""
    dtype, size = _compute_dtype(hidden_ND), head.chunk
    if hidden_ND.device.type == "cpu":  # fewer at once, while the head is worth reading for them
        size = min(size, max(WORTH, CACHED // len(head.weight_VD)))
    work_ND, head = hidden_ND.to(dtype), head.to(dtype)
    chunks = _slices(0, len(ids_N), size)
    return torch.cat([_chosen(head(work_ND[chunk], temperature), ids_N[chunk]) for chunk in chunks])


class _KnownGradient(torch.autograd.Function):
    """A loss and its gradients, which the backward pass multiplies by the one that arrives."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, *inputs_and_gradients: Tensor | None) -> Tensor:
        ctx.save_for_backward(*inputs_and_gradients[3:])
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        _only_first_derivative()
        # In place: the head's is the size of the vocabulary x hidden, and nobody else holds it.
        scaled = [None if gradient is None else gradient.mul_(upstream) for gradient in ctx.saved_tensors]
        return None, *scaled, None, None, None


class _Sampled(torch.autograd.Function):
    """`sampled`. A function of its own, and not checkpoints of chunks, whose parts of the head's gradient would be
    summed in the head's own dtype."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        form: HeadForm,
        ids_N: Tensor,
        temperature: float,
        grad: bool,
    ) -> tuple[Tensor, Tensor]:
        dtype, head = _compute_dtype(hidden_ND), Head(weight_VD, bias_V, form)
        keep = grad and any(ctx.needs_input_grad) and len(ids_N) * len(weight_VD) <= KEEP
        parts, kept = [], []
        work_ND, work_head = hidden_ND.to(dtype), head.to(dtype)
        for chunk in _slices(0, len(ids_N), head.chunk):
            logits_NV = work_head(work_ND[chunk], temperature)
            parts += [_statistics(logits_NV[rows], ids_N[where]) for where, rows in _blocks(chunk, logits_NV)]
            kept += [logits_NV] if keep else []
        logp_N, entropy_N, normaliser_N = (torch.cat(column) for column in zip(*parts, strict=True))
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, ids_N, normaliser_N, *kept)
        ctx.temperature, ctx.form, ctx.dtype = temperature, form, dtype
        ctx.mark_non_differentiable(entropy_N)
        return logp_N, entropy_N

    @staticmethod
    def backward(ctx: Any, upstream_N: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        _only_first_derivative()
        hidden_ND, weight_VD, bias_V, ids_N, normaliser_N, *kept = ctx.saved_tensors
        head = Head(weight_VD, bias_V, ctx.form)
        gradient = _Gradient(hidden_ND, head, ctx.dtype, ctx.needs_input_grad[:3])
        upstream_N = upstream_N / ctx.temperature
        for i, chunk in enumerate(_slices(0, len(ids_N), head.chunk)):
            logits_NV = kept[i] if kept else gradient.head(gradient.hidden_ND[chunk], ctx.temperature)
            slope_NV = head.slope(logits_NV, ctx.temperature)
            for where, rows in _blocks(chunk, logits_NV):
                # d log p_id / d z = 1[id] - p, in the place of the logits
                dlogits_NV = (_wide(logits_NV[rows]) - normaliser_N[where, None]).exp_()
                dlogits_NV.mul_(-upstream_N[where, None])
                dlogits_NV.scatter_add_(1, ids_N[where, None], upstream_N[where, None])
                logits_NV[rows] = dlogits_NV
            gradient.add(chunk, logits_NV, slope_NV)
        return *gradient.result(), None, None, None, None


class _Gradient:
    """The gradient of hidden states and head from that of the logits, which comes one chunk of tokens after the other.

    Products are of the dtype that the logits were computed in, as autograd's are. The head's is summed in float32: in
    bfloat16 a chunk's part would be lost below 1/256 of what is there already.
    """

    def __init__(self, hidden_ND: Tensor, head: Head, dtype: torch.dtype, wanted: Any) -> None:
        self.hidden_ND, self.head = hidden_ND.to(dtype), head.to(dtype)
        leaves = hidden_ND, head.weight_VD, head.bias_V
        self._dtypes = [x if x is None else x.dtype for x in leaves]
        wide = torch.promote_types(dtype, torch.float32)
        places = zip(leaves, (dtype, wide, wide), wanted, strict=True)
        self._sums = [torch.zeros_like(x, dtype=d) if x is not None and want else None for x, d, want in places]

    def add(self, where: slice, dlogits_NV: Tensor, slope_NV: Tensor | float) -> None:
        """`slope_NV`: the logits' derivative by hidden @ weight + bias."""
        if not isinstance(slope_NV, float) or slope_NV != 1:
            dlogits_NV.mul_(slope_NV)
        dhidden_ND, dweight_VD, dbias_V = self._sums
        if dhidden_ND is not None:
            torch.mm(dlogits_NV, self.head.weight_VD, out=dhidden_ND[where])
        if dweight_VD is not None:
            _add_product(dweight_VD, dlogits_NV.T, self.hidden_ND[where])
        if dbias_V is not None:
            dbias_V += dlogits_NV.sum(0, dtype=dbias_V.dtype)

    def result(self) -> list[Tensor | None]:
        """Of hidden states, weight and bias, in their own dtypes; None for what needs none."""
        return [x if x is None else x.to(dtype) for x, dtype in zip(self._sums, self._dtypes, strict=True)]


def _only_first_derivative() -> None:
    """A gradient of the gradient would be wrong without a word where the incoming one is a constant."""
    if torch.is_grad_enabled():
        raise RuntimeError("losses over the vocabulary have no second derivative: create_graph must be False")


def _add_product(sum_VD: Tensor, a_VN: Tensor, b_ND: Tensor) -> None:
    """sum += a b, the product not rounded to a narrower dtype on the way."""
    if sum_VD.dtype != a_VN.dtype and sum_VD.is_cuda:
        torch.addmm(sum_VD, a_VN, b_ND, out_dtype=sum_VD.dtype, out=sum_VD)
    else:
        # Not addmm_, which PyTorch's counter of operations does not see.
        torch.addmm(sum_VD, a_VN.to(sum_VD.dtype), b_ND.to(sum_VD.dtype), out=sum_VD)


def _chosen(logits_NV: Tensor, ids_N: Tensor) -> Tensor:
    """Log-probability (N,) of the token `ids`, in float32 or wider."""
    wide_NV = _wide(logits_NV)
    return wide_NV.gather(1, ids_N[:, None])[:, 0] - wide_NV.logsumexp(-1)


def _statistics(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability of the token `ids`, entropy, and logarithm of the normaliser; (N,) in float32 or wider."""
    wide_NV = _wide(logits_NV)
    top_N1 = wide_NV.amax(-1, keepdim=True)
    below_NV = wide_NV - top_N1
    chosen_N = below_NV.gather(1, ids_N[:, None])[:, 0]
    mass_NV = below_NV.exp()
    total_N = mass_NV.sum(-1)
    log_total_N = total_N.log()
    entropy_N = log_total_N - mass_NV.mul_(below_NV).sum(-1) / total_N
    return chosen_N - log_total_N, entropy_N, top_N1[:, 0] + log_total_N


def _slices(start: int, stop: int, size: int) -> list[slice]:
    """At least one, so that no tokens at all give empty results."""
    return [slice(i, min(i + size, stop)) for i in range(start, max(stop, start + 1), size)]


def _blocks(chunk: slice, logits_NV: Tensor) -> Iterator[tuple[slice, slice]]:
    """The chunk's rows that are worked on at once: which of all tokens, and which of its logits."""
    rows, vocabulary = logits_NV.shape
    size = max(1, CACHED // vocabulary) if logits_NV.device.type == "cpu" else max(1, rows)
    for block in _slices(0, rows, size):
        yield slice(chunk.start + block.start, chunk.start + block.stop), block


def _compute_dtype(hidden_ND: Tensor) -> torch.dtype:
    device = hidden_ND.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype


def _wide(logits_NV: Tensor) -> Tensor:
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
