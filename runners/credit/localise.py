"""Does credit stand where it belongs? Against the slips and decisive numbers of drawn problems, reply by reply."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from eval.benches.drawn import Problem
from eval.benches.written import statements
from eval.leakage.clustered import Measured, mean

Span = tuple[int, int]
SHUFFLES = 200  # of each reply's credit, whose mean is chance
BLAMED = ("shape", "count", "operand", "result")  # a wrong letter or box only follows from what was written before it


class Marks(NamedTuple):
    """Spans of characters, in order: `decisive` are all counts and results, right or wrong; `stated` is everything that
    could be a slip, shape names and copied numbers too; `slips` are what of it is wrong given what came before."""

    decisive: list[Span]
    stated: list[Span]
    slips: list[Span]


def marks(problem: Problem, reply: str) -> Marks:
    found = statements(problem, reply)
    stated = [one for one in found if one.part in BLAMED]
    return Marks(
        [(one.start, one.end) for one in found if one.decisive],
        [(one.start, one.end) for one in stated],
        [(one.start, one.end) for one in stated if one.slip],
    )


class Localised(NamedTuple):
    """Means over replies, with errors clustered by group: replies to one item are alike, and some are the same.

    auc: of wrong replies with slips, how likely a slipped token has more |credit| than another (.5: chance; equal
    credits count half, so GRPO has .5). auc_stated: than another that states something: blame that only knows where
    numbers stand has .5. share: of right replies, the part of all |credit| that decisive tokens get; `base`: these
    tokens' part of all tokens, which is GRPO's share. `*_permuted`: with a reply's credit at random places of it.
    """

    auc: Measured
    auc_stated: Measured
    auc_permuted: Measured
    share: Measured
    share_permuted: Measured
    base: Measured


def localised(frames: Sequence[pd.DataFrame], known: Sequence[Sequence[Marks]]) -> Localised:
    """`frames`: tables of `token_credit`, one a group; `known`: the marks of each group's replies."""
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in Localised._fields}
    for i, (frame, group) in enumerate(zip(frames, known, strict=True)):
        for b, reply in frame.groupby("rollout"):
            of_reply = _wrong if not reply["reward"].iloc[0] else _right
            for name, value in of_reply(reply, group[int(str(b))], rng).items():
                found[name].append((value, i))
    return Localised(*(mean([v for v, _ in pairs], [i for _, i in pairs]) for pairs in found.values()))


def kept(clipped: Sequence[pd.DataFrame], free: Sequence[pd.DataFrame]) -> Measured:
    """What the clip leaves of a reply's sum of |weight - 1|, that is of all that sets its credit apart from GRPO's; the
    mean over replies, clustered by group."""
    found = []
    for i, pair in enumerate(zip(clipped, free, strict=True)):
        some, all_ = ((frame["weight"] - 1).abs().groupby(frame["rollout"]).sum() for frame in pair)
        found += [(part, i) for part in (some / all_)[all_ > 0]]
    return mean([part for part, _ in found], [i for _, i in found])


def _wrong(reply: pd.DataFrame, marks: Marks, rng: np.random.Generator) -> dict[str, float]:
    size_T, slips_T, stated_T = _sizes(reply), touched(reply, marks.slips), touched(reply, marks.stated)
    areas = {
        "auc": auc(size_T, slips_T),
        "auc_stated": auc(size_T[stated_T], slips_T[stated_T]),
        "auc_permuted": auc(_shuffled(size_T, rng), slips_T),
    }
    return {name: area for name, area in areas.items() if area is not None}


def _right(reply: pd.DataFrame, marks: Marks, rng: np.random.Generator) -> dict[str, float]:
    size_T, decisive_T = _sizes(reply), touched(reply, marks.decisive)
    if not decisive_T.any() or not size_T.sum():
        return {}
    part = lambda sizes: float((sizes[..., decisive_T].sum(-1) / size_T.sum()).mean())  # noqa: E731
    return {"share": part(size_T), "share_permuted": part(_shuffled(size_T, rng)), "base": float(decisive_T.mean())}


def _sizes(reply: pd.DataFrame) -> np.ndarray:
    """(T,) |credit|; rounded, because rounding errors must not turn equal credits into an order."""
    return np.round(reply["advantage"].abs().to_numpy(), 6)


def _shuffled(size_T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(np.tile(size_T, (SHUFFLES, 1)), axis=1)


def auc(score_T: np.ndarray, positive_T: np.ndarray) -> float | None:
    """Chance that a positive scores above a negative, ties half; None where all are of one kind. The mean over rows
    where scores are (S, T)."""
    n = int(positive_T.sum())
    if n in (0, len(positive_T)):
        return None
    ranks = rankdata(score_T, axis=-1)[..., positive_T].sum(-1).mean()
    return float((ranks - n * (n + 1) / 2) / (n * (len(positive_T) - n)))


def touched(reply: pd.DataFrame, spans: Sequence[Span]) -> np.ndarray:
    """Which tokens of a reply, whose texts stand in `token`, hold a character of one of the spans."""
    ends_T = reply["token"].str.len().cumsum().to_numpy()
    starts_T = np.concatenate([[0], ends_T[:-1]])
    hit_T = np.zeros(len(reply), bool)
    for start, end in spans:
        hit_T |= (starts_T < end) & (ends_T > start)
    return hit_T
