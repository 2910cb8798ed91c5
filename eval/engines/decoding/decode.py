"""The decoding loop: one token of each live row at a time, until all have ended."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from eval.engines.decoding.decode_step import ByGroup, ByRow

ENDED = 1 / 8  # the share of ended rows at which they leave: dropping them copies the cache


def decode(
    following: ByRow | ByGroup,
    out_BN: Tensor,
    length: int,
    logits_processors: Any,
    stopping_criteria: Any,
    draw: Callable[[Tensor, Tensor], Tensor] | None,
) -> int:
    """Write the completions of prompts of `length` tokens into out_BN, each up to its end; the length of the longest.

    out_BN: the prompts, and padding for as much as may come. `following` gives the logits after a token. `draw`: tokens
    (L,) from scores (L, V) of those rows (L,) of the batch; None takes the likeliest. Raises FloatingPointError with
    the rows whose first token has no distribution: its logits are NaN or infinite.
    """
    B, first = len(out_BN), length
    ids_LN, live_L = out_BN, torch.arange(B, device=out_BN.device)  # the live rows; all: no copy
    ended_L, ended = torch.zeros_like(live_L, dtype=torch.bool), 0
    while True:
        scores_LV = following.logits(ids_LN[:, length - 1 : length]).to(torch.float32)
        for processor in logits_processors:  # one by one: the list looks up the signature of each at every token
            scores_LV = processor(ids_LN[:, :length], scores_LV)
        if length == first and not (proper_L := scores_LV.logsumexp(-1).isfinite()).all():
            raise FloatingPointError((~proper_L).nonzero()[:, 0].tolist())
        tokens_L = draw(scores_LV, live_L) if draw else scores_LV.argmax(-1)
        ids_LN[:, length] = torch.where(ended_L, ids_LN[:, length], tokens_L) if ended else tokens_L
        length += 1
        ended_L = ended_L | stopping_criteria(ids_LN[:, :length], None)
        ended = int(ended_L.sum())
        if ended < ENDED * len(live_L):
            continue
        if len(live_L) < B:
            out_BN[live_L] = ids_LN
        if ended == len(live_L):
            return length
        keep_L = (~ended_L).nonzero()[:, 0]
        following.select(keep_L)
        live_L, ended_L, ended = live_L[keep_L], ended_L[keep_L], 0
        ids_LN = out_BN[live_L]
