"""Cluster bootstrap: scores of all runs on benches whose clusters were drawn anew, the same draw for every run."""

import numpy as np
from scipy import special

from reports.stats.grid import Array, Grid
from reports.stats.spread import Spread

REPLICATES = 10_000
CHUNK_COUNTS = 2_000_000  # 16 MB of cluster counts at a time


def replicates(grid: Grid, rng: np.random.Generator, n: int = REPLICATES) -> Array:
    """Deviations (R, n) of the runs' scores from those found, one column a draw of C clusters with replacement.

    Scaled by sqrt(C / (C - 1)), as a resample spreads by the variance with denominator C. A draw serves all runs, so
    that differences of rows are paired differences.
    """
    clusters = grid.clusters
    scores_R = grid.totals_RC.sum(axis=1) / grid.sizes_C.sum()
    found = np.empty((n, len(scores_R)))
    chunk = max(1, CHUNK_COUNTS // clusters)
    for start in range(0, n, chunk):
        rows = min(chunk, n - start)
        drawn = rng.integers(0, clusters, size=(rows, clusters))
        drawn += clusters * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters).astype(np.float64)
        found[start : start + rows] = counts @ grid.totals_RC.T / (counts @ grid.sizes_C)[:, None]
    return np.ascontiguousarray((found - scores_R).T) * np.sqrt(clusters / max(1, clusters - 1))


class Luck:
    """The draws (n,) that stand for training again, the same for every difference of a table."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.normal = rng.standard_normal(n)
        self._chances = rng.random(n)
        self._chi2: dict[int, Array] = {}

    def chi2(self, df: int) -> Array:
        if df not in self._chi2:
            self._chi2[df] = 2 * special.gammaincinv(df / 2, self._chances)
        return self._chi2[df]


def interval(mean: float, deviations: Array, luck: Luck, found: Spread) -> tuple[float, float]:
    """The 95 % interval around `mean`: percentiles of the items' deviations (n,) and of training's together.

    Percentiles know nothing of an error that is itself an estimate from few clusters: the items' deviations are widened
    by Student's quantile over the normal one (Hesterberg 2015, The American Statistician 69(4)). Seeds are too few to
    be resampled: their part is normal, with a variance drawn from the plausible ones, which is wide enough already.
    """
    both = deviations * (special.stdtrit(found.items_df, 0.975) / special.ndtri(0.975))
    if found.between_df:
        both = both + luck.normal * np.sqrt(found.training(luck.chi2(found.between_df)))
    low, high = np.quantile(both, (0.025, 0.975))
    return mean + float(low), mean + float(high)
