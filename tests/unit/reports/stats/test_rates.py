import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval.grading.score import standard_error
from reports.stats.rates import at_most, between_kinds, rate, wilson
from tests.unit.reports.stats.frames import frame


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 308), (96, 308), (50, 50)])
def test_intervals_are_scipys(hits, n):
    test = stats.binomtest(hits, n)
    assert wilson(hits / n, n) == pytest.approx(tuple(test.proportion_ci(method="wilson")), abs=1e-12)


def test_none_of_308_is_at_most_one_percent():
    assert f"{100 * at_most(308):.1f}" == "1.0"
    assert (1 - at_most(308)) ** 308 == pytest.approx(0.05)
    found = rate(frame([0] * 308))
    assert (found.mean, found.stderr, found.low, found.high) == (0, None, 0, pytest.approx(at_most(308)))
    assert "no higher" in found.covers
    assert rate(frame([1] * 20)).low == pytest.approx(0.05 ** (1 / 20))


def test_a_question_asked_twice_without_a_finding_counts_once():
    assert rate(pd.concat([frame([0] * 50), frame([0] * 50)])).high == pytest.approx(at_most(50))


def test_single_replies_have_wilsons_interval():
    found = rate(frame([1] * 12 + [0] * 88))
    assert (found.mean, found.n, found.seeds) == (0.12, 100, 1)
    assert found.stderr == pytest.approx((0.12 * 0.88 / 99) ** 0.5)
    assert (found.low, found.high) == pytest.approx(tuple(stats.binomtest(12, 100).proportion_ci(method="wilson")))


def test_replies_that_leak_together_count_as_fewer():
    values, clusters = [1] * 12 + [0] * 88, [str(i // 4) for i in range(100)]  # all four replies of a question alike
    found = rate(frame(values, clusters=clusters))
    assert found.stderr == pytest.approx(standard_error(values, clusters))
    few = (stats.t.ppf(0.975, 99) / stats.t.ppf(0.975, 24)) ** 2
    effective = 0.12 * 0.88 / found.stderr**2 * 100 / 99
    assert effective == pytest.approx(25, rel=0.05)
    assert (found.low, found.high) == pytest.approx(wilson(0.12, effective * few))


def test_rates_pool_replies_over_benches_and_seeds():
    items = pd.concat(
        [frame([1, 0, 0, 0], bench="a", seed=s) for s in (0, 1)] + [frame([0, 1], seed=s) for s in (0, 1)]
    )
    found = rate(items)
    assert (found.mean, found.n, found.seeds) == (pytest.approx(2 / 6), 6, 2)
    assert "training again (2 seeds)" in found.covers


def test_kinds_of_replies_by_hand():
    right = [1, 0, 1, 1, 0, 1]
    leaks = [True, True, False, False, False, True]
    found = between_kinds(np.array(right), np.array(leaks), list("abcdef"))
    assert found.mean == pytest.approx(2 / 3 - 2 / 3)
    parts = np.array([1 / 3, -2 / 3, -1 / 3, -1 / 3, 2 / 3, 1 / 3]) / 3
    assert found.stderr == pytest.approx((6 / 5 * (parts**2).sum()) ** 0.5)
    together = between_kinds(np.array(right), np.array(leaks), list("aabbcc"))
    assert together.stderr == pytest.approx((3 / 2 * (np.add.reduceat(parts, [0, 2, 4]) ** 2).sum()) ** 0.5)


def test_a_kind_whose_replies_are_all_alike_has_no_interval() -> None:
    """Three wrong ones among thousands do not fix their rate to a point."""
    right, leaks = np.array([0, 0, 0, 1, 0, 1, 1, 0.0]), np.array([True] * 3 + [False] * 5)
    found = between_kinds(right, leaks, list("abcdefgh"))
    assert found.mean == pytest.approx(-0.6)
    assert (found.stderr, found.low, found.high) == (None, None, None)
