"""The words of grading: a row's verdict and a bench's aggregate."""

from collections.abc import Callable, Sequence
from math import comb, sqrt
from typing import Any, Literal, NamedTuple

Row = dict[str, Any]
Rule = Literal["default", "official"]
RULES: tuple[Rule, ...] = ("default", "official")


class Verdict(NamedTuple):
    """What was read out of one reply. `correct` is None where the row has no gold answer."""

    extracted: str | None
    wrapper: str
    parsed: bool
    correct: bool | None


Scores = dict[str, float | int | None]


class Aggregate(NamedTuple):
    """`score` in 0..1 over `n` units (None where nothing could be graded), and every sub-score of the bench.

    `values` are the n units' own values in 0..1, whose mean is `score`, and `clusters` what each of them belongs to.
    """

    score: float | None
    stderr: float | None
    n: int
    scores: Scores
    values: Sequence[float] = ()
    clusters: Sequence[str] = ()


Graded = Sequence[tuple[Row, bool | None]]


def standard_error(values: Any, clusters: Sequence[Any]) -> float | None:
    """Standard error of the mean of `values`, robust to correlation inside a cluster; None for one cluster.

    sqrt(G/(G-1) * sum over clusters of (sum of residuals)^2) / n: with singleton clusters this is s / sqrt(n).
    """
    mean = sum(values) / len(values) if len(values) else 0.0
    residuals: dict[Any, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        residuals[cluster] = residuals.get(cluster, 0.0) + value - mean
    groups = len(residuals)
    if groups < 2:
        return None
    return sqrt(groups / (groups - 1) * sum(r * r for r in residuals.values())) / len(values)


def mean_by(graded: Graded, **groups: Callable[[Row], Sequence[str]]) -> Scores:
    """Mean correctness in every group that a row with a gold answer belongs to, under the name `kind/group`."""
    counts: dict[str, list[int]] = {}
    for row, correct in graded:
        if correct is None:
            continue
        for kind, members in groups.items():
            for member in members(row):
                tally = counts.setdefault(f"{kind}/{member}", [0, 0])
                tally[0] += correct
                tally[1] += 1
    return {name: right / n for name, (right, n) in sorted(counts.items())}


def macro_over(groups: Scores, kind: str) -> Scores:
    """`macro`: the mean over the groups of one kind, each counting the same however many rows it has."""
    values = [value for name, value in groups.items() if name.startswith(f"{kind}/") and value is not None]
    return {"macro": sum(values) / len(values)} if values else {}


def accuracy(graded: Graded, cluster: Callable[[Row], str]) -> Aggregate:
    """Share of correct rows among those with a gold answer."""
    known = [(row, correct) for row, correct in graded if correct is not None]
    if not known:
        return Aggregate(None, None, 0, {})
    values = [float(correct) for _, correct in known]
    clusters = [cluster(row) for row, _ in known]
    scores: Scores = {"correct": int(sum(values))}
    return Aggregate(sum(values) / len(values), standard_error(values, clusters), len(values), scores, values, clusters)


def pass_rates(correct_of_n: Sequence[int], n: int) -> dict[str, float]:
    """pass@k and pass^n, means over questions, from how many of each question's n replies are right.

    pass@k: that one of k replies is right, estimated without bias as 1 - C(n-c, k) / C(n, k) (Chen et al. 2021,
    arXiv 2107.03374), for the powers of two up to n, for 5 (ZeroBench's) and for n. pass^n: that all n are right.
    """
    ks = sorted({2**i for i in range(n.bit_length())} | {min(5, n), n})
    rates = {
        f"pass@{k}": sum(comb(n, k) - comb(n - c, k) for c in correct_of_n) / (comb(n, k) * len(correct_of_n))
        for k in ks
    }
    return rates | {f"pass^{n}": sum(c == n for c in correct_of_n) / len(correct_of_n)}
