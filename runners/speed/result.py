"""One line of the result: a ratio, how equal its two sides are, and which targets it meets."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from runners.speed.measure import Ratio


class Target(NamedTuple):
    """`value` should be at least, or at most, `limit`. A missed target is shown, and is no failure of the run."""

    what: str
    value: float
    relation: str
    limit: float

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.relation == ">=" else self.value <= self.limit


@dataclass(frozen=True)
class Row:
    """errors: how far the two sides are apart, each with the `limits` entry that it must not exceed; a row without any
    is no result. must_fail: of a negative control, whose errors have to exceed a limit."""

    table: str
    cell: str
    errors: dict[str, float]
    limits: dict[str, float]
    ratio: Ratio | None = None
    figures: dict[str, float] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    must_fail: bool = False

    @property
    def failed(self) -> bool:
        within = bool(self.errors) and all(_within(self.errors[name], self.limits[name]) for name in self.errors)
        return within if self.must_fail else not within

    @property
    def verdict(self) -> str:
        if self.failed:
            return "FAILED"
        return "fails, as it must" if self.must_fail else "equal"


def _within(error: float, limit: float) -> bool:
    return math.isfinite(error) and error <= limit
