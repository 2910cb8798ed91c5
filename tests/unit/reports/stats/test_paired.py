import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.stats.paired import table
from tests.unit.reports.stats.frames import frame

A = [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1]
B = [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1]


def rng():
    return np.random.default_rng(0)


def compare(a, b, rng, names=("a", "b")):
    return table(pd.concat([b.assign(method=names[1]), a.assign(method=names[0])]), rng)[0]


def test_one_bench_and_one_seed_is_the_paired_t_test_with_mcnemar_beside_it():
    pair = compare(frame(A), frame(B), rng(), ("new", "old"))
    found = pair.benches["q"]
    test = stats.ttest_rel(A, B)
    assert (pair.a, pair.b) == ("new", "old")
    assert found.estimate.mean == pytest.approx(4 / 12)
    assert found.estimate.stderr == pytest.approx(np.subtract(A, B).std(ddof=1) / 12**0.5)
    assert found.p == pytest.approx(test.pvalue)
    assert found.exact == pytest.approx(stats.binomtest(5, 6).pvalue)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(tuple(test.confidence_interval()), abs=0.05)
    assert found.estimate.n == 12
    assert "there is one seed a method" in found.estimate.covers
    assert pair.average.estimate.mean == found.estimate.mean  # of the only bench


def test_clusters_and_half_credits_have_no_exact_test():
    clusters = [str(i // 3) for i in range(12)]
    found = compare(frame(A, clusters=clusters), frame(B, clusters=clusters), rng()).benches["q"]
    sums = np.subtract(A, B).reshape(4, 3).sum(1)
    assert found.exact is None
    assert found.estimate.stderr == pytest.approx(sums.std(ddof=1) / 4**0.5 / 3)
    assert found.spread.items_df == pytest.approx(3)
    assert compare(frame([0.5, *A[1:]]), frame(B), rng()).benches["q"].exact is None
    twice = pd.concat([frame(A), frame(A)])
    assert compare(twice, frame(B), rng()).benches["q"].exact is None


def test_average_is_over_all_benches_each_with_its_own_error():
    a = pd.concat([frame(A), frame([1, 1, 0, 1], bench="z")])
    b = pd.concat([frame(B), frame([1, 0, 0, 0], bench="z")])
    pair = compare(a, b, rng())
    errors = [pair.benches[name].estimate.stderr for name in "qz"]
    assert pair.average.estimate.mean == pytest.approx((4 / 12 + 2 / 4) / 2)
    assert pair.average.estimate.stderr == pytest.approx(np.hypot(*errors) / 2)
    assert pair.average.estimate.n is None


def test_a_method_without_a_bench_has_no_average():
    a = pd.concat([frame(A), frame([1, 1, 0, 1], bench="z")])
    pair = compare(a, frame(B), rng())
    assert pair.average is None
    assert list(pair.benches) == ["q"]


def test_a_table_has_all_pairs_later_minus_earlier_and_corrects_each_column():
    items = pd.concat([frame(B, method="base"), frame(A, method="x"), frame([1] * 12, method="y")])
    pairs = table(items, rng())
    assert [(pair.a, pair.b) for pair in pairs] == [("x", "base"), ("y", "base"), ("y", "x")]
    raw = [pair.average.p for pair in pairs]
    order = np.argsort(raw)
    assert pairs[order[0]].average.holm == pytest.approx(3 * raw[order[0]])
    assert pairs[order[1]].average.holm == pytest.approx(max(3 * raw[order[0]], 2 * raw[order[1]]))
    assert table(items[items["method"] == "x"], rng()) == []


def test_the_same_seed_gives_the_same_table_and_order_of_rows_does_not_matter():
    items = pd.concat([frame(B, method="base"), frame(A, method="x")])
    first = table(items, rng())[0].average.estimate
    assert table(items, rng())[0].average.estimate == first
    backwards = pd.concat([part.iloc[::-1] for _, part in items.groupby("method", sort=False)])
    assert table(backwards, rng())[0].average.estimate == first


def test_items_that_all_differ_alike_have_a_p_but_no_interval():
    found = compare(frame([1] * 6), frame([0] * 6), rng()).benches["q"]
    assert found.p == found.exact == pytest.approx(2 / 64)
    assert (found.estimate.low, found.estimate.stderr) == (None, 0)
    same = compare(frame(A), frame(A), rng()).benches["q"]
    assert (same.estimate.mean, same.p, same.exact, same.estimate.low) == (0, 1, 1, None)


def test_a_single_cluster_has_neither():
    found = compare(frame([1, 1], clusters=["x", "x"]), frame([0, 1], clusters=["x", "x"]), rng()).benches["q"]
    assert found.estimate.mean == 0.5
    assert (found.estimate.stderr, found.p, found.holm) == (None, None, None)


def runs(values_by_seed, **columns):
    return pd.concat([frame(values, seed=seed, **columns) for seed, values in values_by_seed.items()])


def test_seeds_shared_by_the_methods_are_paired():
    a, b = {0: A, 1: A[::-1], 2: [1, *A[1:6], 1, 1, 1, 1, 1, 1]}, {0: B, 1: B[::-1], 2: [1, 1, 1, *B[3:]]}
    found = compare(runs(a), runs(b), rng()).benches["q"]
    d = np.array([np.subtract(a[s], b[s]) for s in range(3)], float)
    assert found.estimate.mean == pytest.approx(d.mean())
    assert found.spread.between == pytest.approx(d.mean(1).var(ddof=1) / 3)
    assert found.spread.between_df == 2
    rest = d - d.mean(1, keepdims=True) - d.mean(0) + d.mean()
    assert found.spread.interaction == pytest.approx((rest**2).sum() / 22 / 36)
    assert "3 seeds, the methods paired seed by seed" in found.estimate.covers


def test_other_seeds_are_not_paired_and_an_untrained_row_is_taken_as_it_is():
    a, b = {0: A, 1: A[::-1]}, {1: B, 2: B[::-1]}
    found = compare(runs(a), runs(b), rng()).benches["q"]
    assert found.spread.between_df == 2
    assert "2 and 2 seeds, not paired" in found.estimate.covers
    against_base = compare(runs(a), frame(B), rng()).benches["q"]
    assert against_base.spread.between_df == 1
    assert "the side with one is taken as it is" in against_base.estimate.covers.lower()


def test_a_seed_that_lacks_a_bench_does_not_enter_the_average():
    a = pd.concat([runs({0: A, 1: B}), frame([1, 0, 1], bench="z", seed=0)])
    b = pd.concat([frame(B), frame([0, 0, 1], bench="z")])
    pair = compare(a, b, rng())
    assert pair.average.estimate.mean == pytest.approx((4 / 12 + 1 / 3) / 2)
    assert pair.benches["q"].estimate.mean == pytest.approx(2 / 12)
