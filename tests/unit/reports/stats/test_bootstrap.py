import numpy as np
import pytest
from scipy import stats

from reports.stats.bootstrap import Luck, interval, replicates
from reports.stats.grid import Grid
from reports.stats.spread import Spread, spread


def grid(values_RU, sizes):
    starts = np.cumsum([0, *sizes[:-1]])
    values = np.array(values_RU, float)
    runs = tuple((f"m{i}", 0) for i in range(len(values)))
    return Grid(runs, values, np.add.reduceat(values, starts, axis=1), np.array(sizes, float), True)


def test_deviations_spread_as_the_formula_says_and_runs_share_a_draw():
    rng = np.random.default_rng(0)
    values = rng.random((2, 60)) < 0.5
    found = grid([values[0], values[1], values[0]], [1, 2, 3] * 10)
    resampled_Rn = replicates(found, rng, 20_000)
    assert resampled_Rn.shape == (3, 20_000)
    assert np.array_equal(resampled_Rn[0], resampled_Rn[2])
    expected = spread([[found.totals_RC[:1] - found.totals_RC[1:2]]], [found.sizes_C])
    assert (resampled_Rn[0] - resampled_Rn[1]).std() == pytest.approx(expected.stderr, rel=0.05)


def test_chunks_do_not_change_what_is_drawn(monkeypatch):
    found = grid([[1, 0, 0, 1, 1]], [1] * 5)
    whole = replicates(found, np.random.default_rng(3), 100)
    monkeypatch.setattr("reports.stats.bootstrap.CHUNK_COUNTS", 35)
    assert np.array_equal(whole, replicates(found, np.random.default_rng(3), 100))


def test_interval_is_students_for_normal_deviations():
    luck = Luck(np.random.default_rng(1), 200_000)
    items = np.random.default_rng(2).standard_normal(200_000) * 0.1
    low, high = interval(0.2, items, luck, Spread(0.01, 19))
    reach = stats.t.ppf(0.975, 19) * 0.1
    assert (low, high) == (pytest.approx(0.2 - reach, abs=3e-3), pytest.approx(0.2 + reach, abs=3e-3))
    # Training alone: nu * found / chi2(nu) makes the normal draws Student's.
    low, high = interval(0.2, 0 * items, luck, Spread(1e-12, 1e9, between=0.01, between_df=4))
    assert high - 0.2 == pytest.approx(stats.t.ppf(0.975, 4) * 0.1, rel=0.03)
    assert 0.2 - low == pytest.approx(stats.t.ppf(0.975, 4) * 0.1, rel=0.03)


def test_interval_and_p_agree():
    luck = Luck(np.random.default_rng(1), 200_000)
    items = np.random.default_rng(2).standard_normal(200_000) * 0.1
    found = Spread(0.01, 40, between=0.02, between_df=6, interaction=0.004)
    _, high = interval(0.0, items, luck, found)
    assert found.two_sided(high) == pytest.approx(0.05, abs=3e-3)
