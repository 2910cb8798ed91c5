"""Means with errors clustered by item: replies to one item are no independent draws."""

from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np


class Measured(NamedTuple):
    """A mean with its cluster-robust standard error over `n` replies; None where there is none, or one item only."""

    value: float | None
    stderr: float | None
    n: int


def mean(values: Any, items: Sequence[Any]) -> Measured:
    """Of `values`, one a reply; replies to the same item are one cluster."""
    values_N = np.asarray(values, float)
    if not len(values_N):
        return Measured(None, None, 0)
    value = float(values_N.mean())
    return Measured(value, stderr((values_N - value) / len(values_N), items), len(values_N))


def stderr(influence_N: np.ndarray, items: Sequence[Any]) -> float | None:
    """From what each reply adds to the estimate's error, with G / (G - 1) for G items."""
    _, item_N = np.unique(np.asarray([str(item) for item in items]), return_inverse=True)
    of_item_G = np.bincount(item_N, influence_N)
    n = len(of_item_G)
    return sqrt(float((of_item_G**2).sum()) * n / (n - 1)) if n > 1 else None
