import math

import numpy as np
import pytest
from scipy import stats

from eval.grading.score import standard_error
from reports.stats.spread import Seeds, Spread, seed_scores, spread

CLUSTERS = ["a", "a", "a", "b", "c", "c"]
SIZES = np.array([3.0, 1.0, 2.0])


def totals(values_SU):
    return np.array([[sum(row[:3]), row[3], sum(row[4:])] for row in values_SU], float)


def test_one_seed_has_the_error_that_evaluating_records():
    values = [1, 0.5, 0, 1, 0, 0]
    found = spread([[totals([values])]], [SIZES])
    assert found.stderr == pytest.approx(standard_error(values, CLUSTERS))
    assert found.items_df == pytest.approx(2)
    assert found.between_df == 0


def test_single_items_over_seeds_are_a_two_way_analysis_of_variance():
    x = np.array([[0.9, 0.1, 0.4, 0.6], [0.8, 0.3, 0.5, 0.2], [0.2, 0.0, 0.6, 0.5]])
    found = spread([[x]], [np.ones(4)])
    seeds, items = x.shape
    seed_square = items * ((x.mean(1) - x.mean()) ** 2).sum() / (seeds - 1)
    item_square = seeds * ((x.mean(0) - x.mean()) ** 2).sum() / (items - 1)
    rest = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
    rest_square = (rest**2).sum() / ((seeds - 1) * (items - 1))
    assert found.items == pytest.approx(item_square / (seeds * items))
    assert found.between == pytest.approx(seed_square / (seeds * items))
    assert found.interaction == pytest.approx(rest_square / (seeds * items))
    assert found.stderr**2 == pytest.approx(found.items + max(0, seed_square - rest_square) / (seeds * items))


def test_seeds_that_differ_less_than_their_replies_luck_add_nothing():
    x = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    found = spread([[x]], [np.ones(4)])
    assert found.between == 0
    assert found.interaction > 0
    assert found.stderr == 0  # both items' means over seeds are .5 everywhere


def test_an_average_adds_its_benches_errors_and_moves_with_its_seeds():
    a, b = np.array([[1.0, 0, 0, 1], [1, 1, 1, 0]]), np.array([[1.0, 0], [1, 1]])
    both = spread([[a, b]], [np.ones(4), np.ones(2)])
    alone = [spread([[x]], [np.ones(x.shape[1])]) for x in (a, b)]
    assert both.items == pytest.approx(sum(found.items for found in alone) / 4)
    assert both.interaction == pytest.approx(sum(found.interaction for found in alone) / 4)
    assert seed_scores([a, b], [np.ones(4), np.ones(2)]) == pytest.approx([0.5, 0.875])
    assert both.between == pytest.approx(0.375**2 / 2 / 2)


def test_one_cluster_has_no_error():
    assert spread([[np.array([[2.0]])]], [np.array([4.0])]) is None


def test_p_is_students_with_one_seed_and_with_training_alone():
    assert Spread(0.01, 19).two_sided(0.2) == pytest.approx(2 * stats.t.sf(2, 19))
    trained = Spread(1e-30, math.inf, between=0.01, between_df=4)
    assert trained.two_sided(0.3) == pytest.approx(2 * stats.t.sf(3, 4), rel=1e-3)
    assert trained.two_sided(1.5) == pytest.approx(2 * stats.t.sf(15, 4), rel=1e-3)
    assert trained.two_sided(200.0) == pytest.approx(2 * stats.t.sf(2000, 4), rel=1e-3)


def test_degrees_of_freedom_by_hand():
    assert Spread(0.5, 10).df == pytest.approx(10)
    # 1² / (.5² / 10 + .7² / 2), where the interaction takes .2 off the .7
    assert Spread(0.5, 10, 0.7, 2, 0.2).df == pytest.approx(1 / (0.025 + 0.245))


def test_variance_between_seeds_is_pooled_unless_a_pair_is_less_steady_than_the_others():
    scores = {"a": np.array([0.50, 0.52, 0.54]), "b": np.array([0.60, 0.62, 0.64]), "c": np.array([0.4, 0.3, 0.5])}
    seeds = Seeds(scores, same=True)
    # a - b is the same with every seed, so the table's residuals stand in; two-way, (3 - 1) (3 - 1) degrees.
    x = np.array(list(scores.values()))
    rest = x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()
    assert seeds.between("a", "b") == (pytest.approx(2 * (rest**2).sum() / 4 / 3), 4)
    assert seeds.between("a", "c") == seeds.between("a", "b")  # larger, and not beyond chance
    # Of a and c, moving against each other, 2 x .04 x .5 (own) stand against next to nothing.
    wild = {"a": np.array([0.5, 0.6, 0.7]), "b": np.array([0.5, 0.501, 0.5]), "c": np.array([0.7, 0.6, 0.5])}
    assert Seeds(wild, same=True).between("a", "c") == (pytest.approx(0.04 / 3), 2)
    assert Seeds(wild, same=True).between("a", "b")[1] == 4


STEADY = {
    "a": np.array([0.50, 0.52, 0.51, 0.49]),
    "b": np.array([0.60, 0.61, 0.64, 0.59]),
    "c": np.array([0.40, 0.43, 0.41, 0.42]),
    "base": np.array([0.30]),
}


@pytest.mark.parametrize("same", [True, False])
def test_a_method_that_comes_apart_does_not_widen_the_others(same):
    """Of some trainings one falls to nothing, as a high learning rate does it: the others' variance is their own."""
    apart = STEADY | {"d": np.array([0.7, 0.1, 0.6, 0.7]), "e": np.array([0.52, 0.68, 0.52, 0.66])}
    found, alone = Seeds(apart, same), Seeds(STEADY, same)
    assert set(found.steady) == {"a", "b", "c"}
    assert found.between("a", "b") == alone.between("a", "b")
    own = (apart["d"] - apart["a"]).var(ddof=1) if same else (apart["d"].var(ddof=1) + apart["a"].var(ddof=1)) / 2
    assert found.between("d", "a") == (pytest.approx(own / 4 if same else own / 2), 3 if same else 6)
    assert found.between("d", "base") == (pytest.approx(apart["d"].var(ddof=1) / 4), 3)


def test_of_three_methods_none_is_left_out_and_of_even_ones_hardly_any():
    """Two that happen to agree must not pass for sure; and the test that leaves out errs in 5 tables of 100."""
    assert len(Seeds({name: STEADY[name] for name in "ab"} | {"d": np.array([0.7, 0.1, 0.6, 0.7])}, True).steady) == 3
    rng = np.random.default_rng(0)
    for same in (True, False):
        tables = [dict(zip("abcdef", rng.standard_normal((6, 3)), strict=True)) for _ in range(400)]
        left_out = sum(len(Seeds(table, same).steady) < 6 for table in tables)
        assert 8 <= left_out <= 34  # 20 are expected, six deviations of 4.4 wide


def test_other_seeds_and_a_single_one():
    scores = {"base": np.array([0.3]), "a": np.array([0.5, 0.7]), "b": np.array([0.5, 0.6, 0.7])}
    seeds = Seeds(scores, same=False)
    pooled = (0.02 + 0.02) / (1 + 2)  # sums of squares over degrees of freedom
    assert seeds.between("a", "b") == (pytest.approx(pooled / 2 + pooled / 3), 3)
    assert seeds.between("b", "base") == (pytest.approx(pooled / 3), 3)
    assert Seeds({"base": np.array([0.3]), "a": np.array([0.5])}, same=False).between("a", "base") == (0.0, 0)
