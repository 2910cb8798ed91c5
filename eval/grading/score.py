"""The words of grading: a row's verdict, a bench's aggregate, and what describes a bench."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal, NamedTuple

Row = dict[str, Any]
Rule = Literal["default", "official"]


class Verdict(NamedTuple):
    """What was read out of one reply. `correct` is None where the row has no gold answer."""

    extracted: str | None
    wrapper: str
    parsed: bool
    correct: bool | None


class Aggregate(NamedTuple):
    """`score` in 0..1 over `n` units (None where nothing could be graded), and every sub-score of the bench."""

    score: float | None
    stderr: float | None
    n: int
    scores: dict[str, float | int | None]


Graded = Sequence[tuple[Row, bool | None]]


@dataclass(frozen=True)
class Bench:
    """One benchmark with one grading rule.

    `configs` are the hub's subsets that make up `split` (empty: the default one); `key` names the columns that
    identify a row; `unit` is what the denominator counts, `official_n` how many of them the full set has.
    """

    name: str
    label: str
    hub: str
    configs: tuple[str, ...]
    split: str
    key: tuple[str, ...]
    unit: str
    official_n: int
    version: str
    cluster: Callable[[Row], str]
    grade: Callable[[Row, str, Rule], Verdict]
    aggregate: Callable[[Graded], Aggregate]

    def row_id(self, row: Row) -> str:
        return "/".join(str(row[column]) for column in self.key)


def standard_error(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Standard error of the mean of `values`, robust to correlation inside a cluster; None for one cluster.

    sqrt(G/(G-1) * sum over clusters of (sum of residuals)^2) / n: with singleton clusters this is s / sqrt(n).
    """
    mean = sum(values) / len(values) if values else 0.0
    residuals: dict[str, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        residuals[cluster] = residuals.get(cluster, 0.0) + value - mean
    groups = len(residuals)
    if groups < 2:
        return None
    return sqrt(groups / (groups - 1) * sum(r * r for r in residuals.values())) / len(values)


def mean_by(graded: Graded, **groups: Callable[[Row], Sequence[str]]) -> dict[str, float | int | None]:
    """Mean correctness in every group that a row belongs to, under the name `kind/group`."""
    counts: dict[str, list[int]] = {}
    for row, correct in graded:
        for kind, members in groups.items():
            for member in members(row):
                tally = counts.setdefault(f"{kind}/{member}", [0, 0])
                tally[0] += bool(correct)
                tally[1] += 1
    return {name: right / n for name, (right, n) in sorted(counts.items())}


def accuracy(graded: Graded, cluster: Callable[[Row], str]) -> Aggregate:
    """Share of correct rows among those with a gold answer."""
    known = [(row, correct) for row, correct in graded if correct is not None]
    if not known:
        return Aggregate(None, None, 0, {})
    values = [float(correct) for _, correct in known]
    error = standard_error(values, [cluster(row) for row, _ in known])
    return Aggregate(sum(values) / len(values), error, len(values), {"correct": int(sum(values))})
