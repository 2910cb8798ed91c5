"""What could have been seen at all: the smallest difference that a test with this error finds in most cases."""

from collections.abc import Collection, Mapping
from statistics import median

from scipy import special  # scipy.stats and scipy.optimize take half a second to import

from reports.stats.paired import Pairs
from reports.stats.spread import Spread


def smallest_visible(found: Spread, comparisons: int = 1) -> float:
    """The true difference (0..1) that the two-sided test at 5 % finds four times in five.

    As far out as the test rejects, and then as many standard errors as that probability takes: 2.80 of them in all
    with many items and one seed. `comparisons` is the size of the table: Holm's first step tests at 5 % divided by it.
    The errors are taken as found; no difference found enters.
    """
    level = 0.05 / comparisons
    near, far = -1.0, 9.0  # in standard errors, on a scale of powers of ten: few seeds make the tails long
    for _ in range(48):
        middle = (near + far) / 2
        near, far = (middle, far) if found.two_sided(10**middle * found.stderr) > level else (near, middle)
    return float((10**far + special.ndtri(0.8)) * found.stderr)


def visible_in(pairs: Mapping[str, Pairs], shown: Collection[str]) -> dict[str, float]:
    """By column, of those `shown` (benches, then the average): the difference that a typical pair shows once corrected.

    A typical pair is one with the median of the pairs' smallest differences. It rests on the errors found, never on
    the differences found. Columns without any test are left out.
    """
    columns = {
        column: [each.spread for each in found.values() if each.spread is not None and not each.spread.none]
        for column, found in pairs.items()
        if column in shown
    }
    return {
        column: median(smallest_visible(found, len(spreads)) for found in spreads)
        for column, spreads in columns.items()
        if spreads
    }
