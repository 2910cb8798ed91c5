"""Means with errors clustered by item: replies to one item are no independent draws."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from eval.grading.score import standard_error


class Measured(NamedTuple):
    """A mean with its cluster-robust standard error over `n` replies; None where there is none, or one item only."""

    value: float | None
    stderr: float | None
    n: int


def mean(values: Any, items: Sequence[Any]) -> Measured:
    """Of `values`, one a reply; replies to the same item are one cluster."""
    if not len(values):
        return Measured(None, None, 0)
    return Measured(float(sum(values)) / len(values), standard_error(values, items), len(values))
