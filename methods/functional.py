"""Pure tensor functions shared by the methods."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

Support = Literal["full", "student", "teacher"]


def divergence(
    student_NV: Tensor,
    teacher_NV: Tensor,
    beta: float,
    *,
    clip: float | None = None,
    support: Support = "full",
    k: int = 0,
    tail: bool = True,
) -> Tensor:
    """Generalised Jensen-Shannon divergence (N,) of two rows of logits, in nats; float32 or wider inside.

    beta=0 is KL(teacher || student), beta=1 KL(student || teacher). In between, with M = (1-beta) S + beta T, it is
    beta KL(T || M) + (1-beta) KL(S || M), whose own limits at 0 and 1 are zero and not those two (OPSD, SDPO code).

    clip: each vocabulary entry's contribution is at most this, before they are summed (OPSD's later release). Entries
    below zero are not touched, so that the sum can be negative.
    support: the k likeliest tokens of one side instead of all, with the rest as one more outcome (`tail`, SDPO) or
    left out and the k renormalised (OPSD).
    """
    s, t = _log_probs(student_NV), _log_probs(teacher_NV)
    if support != "full" and k < s.shape[-1]:
        top_NK = (s.detach() if support == "student" else t).topk(k, -1).indices
        s, t = s.gather(-1, top_NK), t.gather(-1, top_NK)
        s, t = (_with_tail(s), _with_tail(t)) if tail else (log_softmax(s, -1), log_softmax(t, -1))
    entries_NV: Tensor = _Entries.apply(s, t, beta)
    return (entries_NV if clip is None else entries_NV.clamp(max=clip)).sum(-1)


def _log_probs(logits_NV: Tensor) -> Tensor:
    wide = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    return log_softmax(wide, -1)


def _with_tail(logp_NK: Tensor) -> Tensor:
    # -1e-7 keeps log(1 - p) and its gradient finite where the k tokens hold all the mass.
    mass_N1 = logp_NK.logsumexp(-1, keepdim=True).clamp(max=-1e-7)
    return torch.cat([logp_NK, torch.log(-torch.expm1(mass_N1))], -1)


class _Entries(torch.autograd.Function):
    """What each outcome adds to the divergence, (N, V) from log-probabilities.

    Its slope in the student's log-probabilities falls out on the way: with M = (1-beta) S + beta T the parts through
    log M cancel, and (1-beta) S (s - m) is left. Autograd would go over (N, V) ten times more.
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, t: Tensor, beta: float) -> Tensor:
        p_t = t.exp()
        if beta == 0:
            entries, slope = (t - s).mul_(p_t), p_t.neg_()
        elif beta == 1:
            p_s = s.exp()
            entries = (s - t).mul_(p_s)
            slope = p_s.add_(entries)
        else:
            p_s = s.exp().mul_(1 - beta)
            # Where both are below the smallest number, the logarithm is finite and multiplied by 0.
            m = p_s.add(p_t, alpha=beta).clamp_(min=torch.finfo(s.dtype).tiny).log_()
            slope = p_s.mul_(s - m)
            entries = torch.sub(t, m, out=m).mul_(p_t).mul_(beta).add_(slope)
        ctx.save_for_backward(slope)
        return entries

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError("a divergence has no second derivative: create_graph must be False")
        (slope,) = ctx.saved_tensors
        return slope * upstream, None, None


def importance_ratio(logp: Tensor, old: Tensor, clip: float) -> Tensor:
    """min(pi / pi_old, clip) of sampled tokens, without gradient; the logarithm is kept within +-20 (SDPO code)."""
    return (logp.detach() - old).clamp(-20, 20).exp().clamp(max=clip)


def linear_decay(start: float, steps: int, step: int) -> float:
    """start * max(1 - step / steps, 0), with step = 1 at the first update (official RLSD schedule)."""
    return start * max(1 - step / steps, 0.0)


def masked_mean(value_BT: Tensor, mask_BT: Tensor) -> float:
    mask = mask_BT.bool()
    return value_BT[mask].float().mean().item() if mask.any() else 0.0


def masked_quantiles(value_BT: Tensor, mask_BT: Tensor, shares: Sequence[float]) -> list[float]:
    """The values that lie nearest to these shares of the sorted ones; none where the mask leaves none."""
    sorted_N = value_BT[mask_BT.bool()].float().sort().values
    return [sorted_N[round(share * (len(sorted_N) - 1))].item() for share in shares] if len(sorted_N) else []
