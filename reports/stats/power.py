"""What could have been seen at all: the smallest difference that a test with this error finds in most cases."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from scipy import optimize, stats

from reports.stats.paired import Difference, Paired

AVERAGE = "average"
POINTS = 2_000


def smallest_visible(
    stderr: float, df: float = float("inf"), comparisons: int = 1, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The true difference that a two-sided t test at level `alpha` finds with probability `power`.

    `comparisons` is the size of the table: the first of Holm's steps tests at alpha / comparisons. In the unit of
    `stderr`; 2.80 standard errors with known variance and one comparison.
    """
    level = alpha / comparisons
    critical, scale = float(stats.norm.ppf(1 - level / 2)), np.ones(1)
    if df != float("inf"):
        critical = float(stats.t.ppf(1 - level / 2, df))
        # The noncentral t, as a mean over how well the error was estimated: scipy's own gives NaN far out.
        scale = np.sqrt(stats.chi2.ppf((np.arange(POINTS) + 0.5) / POINTS, df) / df)

    def lacking(shift: float) -> float:
        found = stats.norm.sf(critical * scale - shift) + stats.norm.cdf(-critical * scale - shift)
        return float(found.mean()) - power

    return float(optimize.brentq(lacking, 0, 10 + 10 * critical)) * stderr


def visible_in(pairs: Sequence[Paired]) -> dict[str, float]:
    """By column (benches, then the average): the difference that a typical pair of the table shows after correction.

    A typical pair is one with the median of the pairs' smallest differences. It rests on the errors found, never on
    the differences found. Columns without any test are left out.
    """
    columns: dict[str, list[Difference]] = {}
    for pair in pairs:
        for name, found in [*pair.benches.items(), (AVERAGE, pair.average)]:
            if found is not None and found.p is not None:
                columns.setdefault(name, []).append(found)
    return {
        name: median(smallest_visible(d.estimate.stderr or 0.0, d.df or 1.0, len(found)) for d in found)
        for name, found in sorted(columns.items(), key=lambda column: column[0] == AVERAGE)
    }
