import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.stats.grid import grids
from reports.stats.paired import AVERAGE, all_pairs
from reports.stats.power import smallest_visible, visible_in
from reports.stats.spread import Spread
from tests.unit.reports.stats.frames import frame


def test_with_many_items_it_is_280_standard_errors():
    assert smallest_visible(Spread(0.0004, math.inf)) == pytest.approx(0.02 * (1.959964 + 0.841621), rel=1e-4)
    corrected = 0.02 * (stats.norm.ppf(1 - 0.05 / 30) + 0.841621)
    assert smallest_visible(Spread(0.0004, math.inf), comparisons=15) == pytest.approx(corrected, rel=1e-4)


@pytest.mark.parametrize("df", [5, 20, 60])
def test_it_is_near_the_noncentral_t(df):
    shift = smallest_visible(Spread(1.0, df))
    critical = stats.t.ppf(0.975, df)
    assert stats.nct.sf(critical, df, shift) == pytest.approx(0.8, abs=0.03)


def test_fewer_seeds_see_less():
    seen = [smallest_visible(Spread(0.01, 200, 0.01, df, 0.002), 15) for df in (1, 2, 5, 20)]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 1  # two methods with two seeds: no difference between rates is large enough


def test_a_table_names_its_columns_and_ends_with_the_average():
    rng = np.random.default_rng(0)
    items = pd.concat([frame(rng.random(40) < 0.5, bench=b, method=m) for m in "abc" for b in ("z", "q")])
    pairs = all_pairs(grids(items), ["a", "b", "c"], rng, 100)
    seen = visible_in(pairs, [AVERAGE, "q", "z"])
    assert list(seen) == ["z", "q", AVERAGE]
    each = sorted(smallest_visible(each.spread, 3) for each in pairs[AVERAGE].values())
    assert seen[AVERAGE] == pytest.approx(each[1])
