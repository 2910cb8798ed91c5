import numpy as np
import pytest
from scipy import stats

from reports.stats.significance import between_trainings, holm, mcnemar, student, welch


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (3, 0, 0.25), (6, 0, 2 / 64), (5, 1, 14 / 64), (1, 5, 14 / 64), (4, 4, 1.0)],
)
def test_mcnemar_counts_coins(only_a, only_b, p):
    a = np.array([1] * only_a + [0] * only_b + [1, 1, 0])
    b = np.array([0] * only_a + [1] * only_b + [1, 1, 0])
    assert mcnemar(a, b) == pytest.approx(p)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.02, None, 0.8]) == [pytest.approx(1.0), pytest.approx(0.06), None, pytest.approx(1.0)]
    assert holm([]) == []


def test_student_by_hand():
    found, p = student([0.5, 0.6, 0.7])
    assert (found.mean, found.stderr) == (pytest.approx(0.6), pytest.approx(0.1 / 3**0.5))
    assert found.high - found.mean == pytest.approx(4.302653 * 0.1 / 3**0.5)  # t(2) at .975
    assert p == pytest.approx(stats.ttest_1samp([0.5, 0.6, 0.7], 0).pvalue)
    assert "Not covered: other items" in found.covers
    assert student([0.5]) == (found.__class__(0.5, None, None, 1, covers=found.covers), None)


A = {0: 0.52, 1: 0.55, 2: 0.61, 3: 0.58}
B = {0: 0.50, 1: 0.54, 2: 0.57, 3: 0.57, 7: 0.40, 8: 0.42}


@pytest.mark.parametrize(
    ("seeds_a", "seeds_b", "shared"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)),
        ((0, 1, 2, 3), (0, 1, 2, 7, 8), (0, 1, 2)),  # three will do
        ((0, 1), (0, 1, 2, 7, 8), (0, 1)),  # and all of a side
        ((0, 1, 2, 3), (2, 1), (1, 2)),
        ((0, 1, 2), (0, 1, 7, 8), ()),  # two pairs of seven runs will not
        ((0, 1, 2, 3), (7, 8), ()),
    ],
)
def test_trainings_are_paired_by_the_seeds_they_share(seeds_a, seeds_b, shared):
    """Either way as scipy has it, and the other way round the same turned round."""
    a, b = {s: A[s] for s in seeds_a}, {s: B[s] for s in seeds_b}
    test = stats.ttest_ind([*a.values()], [*b.values()], equal_var=False)
    if shared:
        test = stats.ttest_rel([A[s] for s in shared], [B[s] for s in shared])
    found, p = between_trainings(a, b)
    assert (found.low, found.high, p) == pytest.approx((*test.confidence_interval(), test.pvalue))
    assert found.mean / found.stderr == pytest.approx(test.statistic)
    turned, same = between_trainings(b, a)
    assert (turned.low, turned.high, same) == pytest.approx((-found.high, -found.low, p))


def test_what_seeds_cannot_say_is_left_open():
    assert between_trainings({0: 0.5}, {0: 0.4, 1: 0.3})[1] is None
    assert welch([0.5, 0.6], [0.4])[1] is None
    assert welch([0.5, 0.5], [0.4, 0.4])[1] is None
    found, p = between_trainings({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.5})
    assert found.mean == pytest.approx(0.1) and p is None
