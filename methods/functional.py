"""Pure tensor functions shared by the methods."""

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax


def generalized_jsd(student_NV: Tensor, teacher_NV: Tensor, beta: float) -> Tensor:
    """Divergence (N,) of two rows of logits, in nats; float32 or wider inside.

    beta=0 is KL(teacher || student), beta=1 KL(student || teacher). In between, with M = (1-beta) S + beta T, it is
    beta KL(T || M) + (1-beta) KL(S || M), whose own limits at 0 and 1 are zero and not those two (OPSD, SDPO code).
    """
    s, t = _log_probs(student_NV), _log_probs(teacher_NV)
    return _jsd_of_log_probs(s, t, beta)


def topk_jsd(student_NV: Tensor, teacher_NV: Tensor, beta: float, k: int) -> Tensor:
    """The same on the student's k likeliest tokens and one tail bucket that holds the rest (SDPO)."""
    s, t = _log_probs(student_NV), _log_probs(teacher_NV)
    if k >= s.shape[-1]:
        return _jsd_of_log_probs(s, t, beta)
    top_NK = s.detach().topk(k, -1).indices
    return _jsd_of_log_probs(_with_tail(s.gather(-1, top_NK)), _with_tail(t.gather(-1, top_NK)), beta)


def _log_probs(logits_NV: Tensor) -> Tensor:
    wide = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    return log_softmax(wide, -1)


def _with_tail(logp_NK: Tensor) -> Tensor:
    # -1e-7 keeps log(1 - p) and its gradient finite where the k tokens hold all the mass.
    mass_N1 = logp_NK.logsumexp(-1, keepdim=True).clamp(max=-1e-7)
    return torch.cat([logp_NK, torch.log(-torch.expm1(mass_N1))], -1)


def _jsd_of_log_probs(s: Tensor, t: Tensor, beta: float) -> Tensor:
    if beta == 0:
        return (t.exp() * (t - s)).sum(-1)
    if beta == 1:
        return (s.exp() * (s - t)).sum(-1)
    m = torch.logaddexp(s + math.log1p(-beta), t + math.log(beta))
    return (beta * t.exp() * (t - m) + (1 - beta) * s.exp() * (s - m)).sum(-1)


def linear_decay(start: float, steps: int, step: int) -> float:
    """start * max(1 - step / steps, 0), with step = 1 at the first update (official RLSD schedule)."""
    return start * max(1 - step / steps, 0.0)


def masked_mean(value_BT: Tensor, mask_BT: Tensor) -> float:
    mask = mask_BT.bool()
    return value_BT[mask].float().mean().item() if mask.any() else 0.0
