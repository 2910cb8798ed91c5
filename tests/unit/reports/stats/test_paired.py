import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.stats.grid import grids
from reports.stats.paired import AVERAGE, all_pairs
from tests.unit.reports.stats.frames import frame

A = [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1]
B = [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1]


def rng():
    return np.random.default_rng(0)


def compare(a, b):
    """By column, a - b."""
    found = all_pairs(grids(pd.concat([b.assign(method="b"), a.assign(method="a")])), ["b", "a"], rng())
    return {column: pairs["a", "b"] for column, pairs in found.items() if pairs}


def test_one_bench_and_one_seed_is_the_paired_t_test_with_mcnemar_beside_it():
    pair = compare(frame(A), frame(B))
    found = pair["q"]
    test = stats.ttest_rel(A, B)
    assert found.estimate.mean == pytest.approx(4 / 12)
    assert found.estimate.stderr == pytest.approx(np.subtract(A, B).std(ddof=1) / 12**0.5)
    assert found.p == pytest.approx(test.pvalue)
    assert found.exact == pytest.approx(stats.binomtest(5, 6).pvalue)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(tuple(test.confidence_interval()), abs=0.05)
    assert found.estimate.n == 12
    assert "there is one seed a method" in found.estimate.covers
    assert pair[AVERAGE].estimate.mean == found.estimate.mean  # of the only bench


def test_clusters_and_half_credits_have_no_exact_test():
    clusters = [str(i // 3) for i in range(12)]
    found = compare(frame(A, clusters=clusters), frame(B, clusters=clusters))["q"]
    sums = np.subtract(A, B).reshape(4, 3).sum(1)
    assert found.exact is None
    assert found.estimate.stderr == pytest.approx(sums.std(ddof=1) / 4**0.5 / 3)
    assert found.spread.items_df == pytest.approx(3)
    assert compare(frame([0.5, *A[1:]]), frame(B))["q"].exact is None
    twice = pd.concat([frame(A), frame(A)])
    assert compare(twice, frame(B))["q"].exact is None


def test_average_is_over_all_benches_each_with_its_own_error():
    a = pd.concat([frame(A), frame([1, 1, 0, 1], bench="z")])
    b = pd.concat([frame(B), frame([1, 0, 0, 0], bench="z")])
    pair = compare(a, b)
    errors = [pair[name].estimate.stderr for name in "qz"]
    assert pair[AVERAGE].estimate.mean == pytest.approx((4 / 12 + 2 / 4) / 2)
    assert pair[AVERAGE].estimate.stderr == pytest.approx(np.hypot(*errors) / 2)
    assert pair[AVERAGE].estimate.n is None


def test_a_method_without_a_bench_has_no_average():
    a = pd.concat([frame(A), frame([1, 1, 0, 1], bench="z")])
    assert list(compare(a, frame(B))) == ["q"]


def test_a_table_has_all_pairs_later_minus_earlier_and_corrects_each_column():
    items = pd.concat([frame(B, method="base"), frame(A, method="x"), frame([1] * 12, method="y")])
    benches = grids(items)
    found = all_pairs(benches, ["base", "x", "y"], rng())[AVERAGE]
    assert list(found) == [("x", "base"), ("y", "base"), ("y", "x")]
    first, second, _ = sorted(found.values(), key=lambda each: each.p)
    assert first.estimate.p == pytest.approx(3 * first.p)
    assert second.estimate.p == pytest.approx(max(3 * first.p, 2 * second.p))
    assert all_pairs(benches, ["x"], rng()) == {}


def test_the_same_seed_gives_the_same_table_and_order_of_rows_does_not_matter():
    items = pd.concat([frame(B, method="base"), frame(A, method="x")])
    backwards = pd.concat([part.iloc[::-1] for _, part in items.groupby("method", sort=False)])
    first, again, other = (all_pairs(grids(part), ["base", "x"], rng()) for part in (items, items, backwards))
    assert first == again == other


def test_items_that_all_differ_alike_have_a_p_but_no_interval():
    found = compare(frame([1] * 6), frame([0] * 6))["q"]
    assert found.p == found.exact == pytest.approx(2 / 64)
    assert (found.estimate.low, found.estimate.stderr) == (None, 0)
    same = compare(frame(A), frame(A))["q"]
    assert (same.estimate.mean, same.p, same.exact, same.estimate.low) == (0, 1, 1, None)


def test_a_single_cluster_has_neither():
    found = compare(frame([1, 1], clusters=["x", "x"]), frame([0, 1], clusters=["x", "x"]))["q"]
    assert found.estimate.mean == 0.5
    assert (found.estimate.stderr, found.p, found.estimate.p) == (None, None, None)


def runs(values_by_seed):
    return pd.concat([frame(values, seed=seed) for seed, values in values_by_seed.items()])


def test_seeds_shared_by_the_methods_are_paired():
    a, b = {0: A, 1: A[::-1], 2: [1, *A[1:6], 1, 1, 1, 1, 1, 1]}, {0: B, 1: B[::-1], 2: [1, 1, 1, *B[3:]]}
    found = compare(runs(a), runs(b))["q"]
    d = np.array([np.subtract(a[s], b[s]) for s in range(3)], float)
    assert found.estimate.mean == pytest.approx(d.mean())
    assert found.spread.between == pytest.approx(d.mean(1).var(ddof=1) / 3)
    assert found.spread.between_df == 2
    rest = d - d.mean(1, keepdims=True) - d.mean(0) + d.mean()
    assert found.spread.interaction == pytest.approx((rest**2).sum() / 22 / 36)
    assert "3 seeds, the methods paired seed by seed" in found.estimate.covers


def test_other_seeds_are_not_paired_and_an_untrained_row_is_taken_as_it_is():
    a, b = {0: A, 1: A[::-1]}, {1: B, 2: B[::-1]}
    found = compare(runs(a), runs(b))["q"]
    assert found.spread.between_df == 2
    assert "2 and 2 seeds, not paired" in found.estimate.covers
    against_base = compare(runs(a), frame(B))["q"]
    assert against_base.spread.between_df == 1
    assert "the side with one is taken as it is" in against_base.estimate.covers.lower()


def test_a_seed_that_lacks_a_bench_does_not_enter_the_average():
    a = pd.concat([runs({0: A, 1: B}), frame([1, 0, 1], bench="z", seed=0)])
    b = pd.concat([frame(B), frame([0, 0, 1], bench="z")])
    pair = compare(a, b)
    assert pair[AVERAGE].estimate.mean == pytest.approx((4 / 12 + 1 / 3) / 2)
    assert pair["q"].estimate.mean == pytest.approx(2 / 12)
