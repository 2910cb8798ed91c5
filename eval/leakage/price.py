"""What a leak costs: how right leaking replies are against clean ones, at equal difficulty.

Models may leak where items are hard (or easy), so that the plain difference says little. Here each reply is compared
with how often the base is right on the same item, and then leaking replies with clean ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from eval.grading.score import standard_error
from eval.leakage.clustered import Measured


class Price(NamedTuple):
    """`plain`: accuracy of leaking minus clean replies. `paired`: the same of accuracy minus the base's on the item.
    `base`: the base's accuracy on the items of leaking minus of clean replies, which is what the two differ by."""

    plain: Measured
    paired: Measured
    base: Measured


def price(
    leaks: Sequence[bool], right: Sequence[bool], items: Sequence[Any], base: Mapping[Any, float]
) -> Price | None:
    """One value a reply; `base`: accuracy 0..1 of the base on each item. None where no reply leaks, or all do."""
    leaks_N, right_N = np.asarray(leaks, bool), np.asarray(right, float)
    if leaks_N.all() or not leaks_N.any():
        return None
    base_N = np.array([base[item] for item in items], float)
    return Price(*(_between(values_N, leaks_N, items) for values_N in (right_N, right_N - base_N, base_N)))


def _between(values_N: np.ndarray, leaks_N: np.ndarray, items: Sequence[Any]) -> Measured:
    leaking, clean = values_N[leaks_N].mean(), values_N[~leaks_N].mean()
    # What each reply adds to the difference, as a value of a mean over all of them.
    of_reply_N = np.where(leaks_N, (values_N - leaking) / leaks_N.mean(), -(values_N - clean) / (~leaks_N).mean())
    return Measured(float(leaking - clean), standard_error(of_reply_N, items), len(values_N))
