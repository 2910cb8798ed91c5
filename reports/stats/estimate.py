"""One number with its error, and in words what that error covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

import pandas as pd

from reports.stats.grid import grids
from reports.stats.spread import spread

STDERR_MEANING = (
    "± is one standard error. With one seed it covers the sampling of a bench's items in one evaluation, and nothing "
    "about training again. With several seeds the cell is their mean, and ± covers other items, other replies and "
    "training again, each counted once: to the variance of the items' means over seeds it adds what the seeds' scores "
    "vary by beyond the luck of items and replies. Where every item is right, or every one wrong, the formula gives "
    "± 0.0 and understates. The average weighs its benches equally and takes their items as independent. Rows share "
    "their items, so two overlapping ± are no test of a difference."
)


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means; values lie in 0..1. `n` counts the items of one evaluation, None for averages.

    `stderr` is None where it is not known. `low` and `high` are the ends of the 95 % interval where one was asked
    for and can be given; `covers` says in a sentence what it is an interval over, and what it leaves out. `p`, where it
    was tested, is that of a difference being none, corrected for all that its table compares.
    """

    mean: float
    stderr: float | None
    n: int | None
    seeds: int
    low: float | None = None
    high: float | None = None
    covers: str = ""
    p: float | None = None


def over_seeds(
    scores: list[float], stderrs: list[float | None], n: int | None, items: pd.DataFrame | None = None
) -> Estimate:
    """Mean of one score per seed. `scores` must not be empty; see STDERR_MEANING for the error.

    One seed keeps its own error. Several need the `items` behind their scores (a frame of reports.stats.grid, one
    method; of several benches the scores are averages): from scores alone, what all seeds share, their items, cannot
    be told from what they do not. Without items the error is None.
    """
    mean = fmean(scores)
    if len(scores) == 1:
        return Estimate(mean, stderrs[0], n, 1)
    if items is None:
        return Estimate(mean, None, n, len(scores))
    found = list(grids(items).values())
    variance = spread([[grid.totals_RC for grid in found]], [grid.sizes_C for grid in found])
    return Estimate(mean, None if variance is None else variance.stderr, n, len(scores))


def over_benches(scores: list[float], stderrs: list[float | None]) -> tuple[float, float | None]:
    """Unweighted mean of one evaluation's benches, and its standard error if the benches' items are independent."""
    known = [s for s in stderrs if s is not None]
    if len(known) < len(stderrs):
        return fmean(scores), None
    return fmean(scores), sqrt(sum(s * s for s in known)) / len(known)


def covers(benches: int, seeds: Sequence[int], by_seed: bool) -> str:
    """What a bootstrap interval covers. `seeds` counts those of each side, `by_seed` where they were paired."""
    where = "in each bench; which benches there are is taken as given" if benches > 1 else "of this bench"
    text = (
        f"95 %, bootstrap: other items {where} (questions of one picture drawn together, all methods asked the same), "
        "and other replies to them"
    )
    trained = [count for count in seeds if count > 1]
    if not trained:
        return f"{text}. Not covered: training again, as there is one seed a method."
    if by_seed:
        return f"{text}; and training again ({trained[0]} seeds, the methods paired seed by seed)."
    if len(trained) < len(seeds):
        return f"{text}; and training again of the side with {trained[0]} seeds. The side with one is taken as it is."
    return f"{text}; and training again ({' and '.join(map(str, trained))} seeds, not paired)."
