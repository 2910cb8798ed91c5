import numpy as np
import pytest
from scipy import stats

from reports.stats.significance import holm, mcnemar, student, student_paired, welch


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (3, 0, 0.25), (6, 0, 2 / 64), (5, 1, 14 / 64), (1, 5, 14 / 64), (4, 4, 1.0)],
)
def test_mcnemar_counts_coins(only_a, only_b, p):
    a = np.array([1] * only_a + [0] * only_b + [1, 1, 0])
    b = np.array([0] * only_a + [1] * only_b + [1, 1, 0])
    assert mcnemar(a, b) == pytest.approx(p)


def test_mcnemar_refuses_half_credit():
    with pytest.raises(ValueError, match="half credits"):
        mcnemar(np.array([0.5, 1]), np.array([1, 0]))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.02, None, 0.8]) == [pytest.approx(1.0), pytest.approx(0.06), None, pytest.approx(1.0)]
    assert holm([]) == []


def test_student_by_hand():
    found = student([0.5, 0.6, 0.7])
    assert (found.mean, found.stderr) == (pytest.approx(0.6), pytest.approx(0.1 / 3**0.5))
    assert found.high - found.mean == pytest.approx(4.302653 * 0.1 / 3**0.5)  # t(2) at .975
    assert "Not covered: other items" in found.covers
    assert student([0.5]).stderr is None


def test_seed_by_seed_and_welch_agree_with_scipy():
    a, b = [0.52, 0.55, 0.61, 0.58], [0.50, 0.54, 0.57, 0.57]
    found, p = student_paired(a, b)
    assert p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval()))
    found, p = welch(a, b[:3])
    test = stats.ttest_ind(a, b[:3], equal_var=False)
    assert (found.low, found.high, p) == pytest.approx((*test.confidence_interval(), test.pvalue))
    assert found.mean / found.stderr == pytest.approx(test.statistic)


def test_what_seeds_cannot_say_is_left_open():
    assert student_paired([0.5], [0.4])[1] is None
    assert welch([0.5, 0.6], [0.4])[1] is None
    assert welch([0.5, 0.5], [0.4, 0.4])[1] is None
    assert student_paired([0.5, 0.6], [0.4, 0.5])[0].mean == pytest.approx(0.1)
