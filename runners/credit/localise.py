"""Does credit stand where it belongs? Against the slips and decisive numbers of drawn problems, reply by reply."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from eval.leakage.clustered import Measured, mean
from runners.credit.marks import Marks, Span


class Localised(NamedTuple):
    """Means over replies, with errors over replies.

    auc: of wrong replies with slips, how likely a slipped token has more |credit| than another (.5: chance; equal
    credits count half, so GRPO has .5). share: of right replies, the part of all |credit| that decisive tokens get;
    `base`: these tokens' part of all tokens, which is GRPO's share.
    """

    auc: Measured
    share: Measured
    base: Measured


def localised(frames: Sequence[pd.DataFrame], known: Sequence[Sequence[Marks]], shuffles: int = 0) -> Localised:
    """`frames`: tables of `token_credit`, one a group; `known`: the marks of each group's replies. shuffles: how often
    to put the same credit at random places of each reply instead, and take the mean: chance."""
    aucs, shares, bases, rng = list[float](), list[float](), list[float](), np.random.default_rng(0)
    for frame, group in zip(frames, known, strict=True):
        for b, reply in frame.groupby("rollout"):
            found, size_T = group[int(str(b))], reply["advantage"].abs().to_numpy()
            sizes = [rng.permutation(size_T) for _ in range(shuffles)] or [size_T]
            slips_T, decisive_T = touched(reply, found.slips), touched(reply, found.decisive)
            if not reply["reward"].iloc[0]:
                areas = [area for size_T in sizes if (area := auc(size_T, slips_T)) is not None]
                aucs += [float(np.mean(areas))] if areas else []
            elif decisive_T.any() and size_T.sum() > 0:
                shares.append(float(np.mean([size_T[decisive_T].sum() / size_T.sum() for size_T in sizes])))
                bases.append(float(decisive_T.mean()))
    return Localised(*(mean(values, range(len(values))) for values in (aucs, shares, bases)))


def auc(score_T: np.ndarray, positive_T: np.ndarray) -> float | None:
    """Chance that a positive scores above a negative, ties half; None where all are of one kind."""
    n = int(positive_T.sum())
    if n in (0, len(positive_T)):
        return None
    # Rounding must not turn equal credits into an order.
    ranks = rankdata(np.round(score_T, 6))
    return float((ranks[positive_T].sum() - n * (n + 1) / 2) / (n * (len(positive_T) - n)))


def touched(reply: pd.DataFrame, spans: Sequence[Span]) -> np.ndarray:
    """Which tokens of a reply, whose texts stand in `token`, hold a character of one of the spans."""
    ends_T = reply["token"].str.len().cumsum().to_numpy()
    starts_T = np.concatenate([[0], ends_T[:-1]])
    hit_T = np.zeros(len(reply), bool)
    for start, end in spans:
        hit_T |= (starts_T < end) & (ends_T > start)
    return hit_T
