import numpy as np
import pandas as pd
import pytest

from reports.stats.grid import grids, pooled, shared_seeds
from tests.unit.reports.stats.frames import frame


def test_samples_are_averaged_and_clusters_summed():
    one = frame([1, 0, 1, 1], clusters=["x", "x", "y", "y"])
    other = frame([0, 0, 1, 1], clusters=["x", "x", "y", "y"])
    (grid,) = grids(pd.concat([one, other])).values()
    assert grid.runs == (("", 0),)
    assert grid.values_RU.tolist() == [[0.5, 0, 1, 1]]
    assert grid.totals_RC.tolist() == [[0.5, 2]]
    assert grid.sizes_C.tolist() == [2, 2]
    assert not grid.single
    assert grids(one)["q"].single


def test_runs_are_method_and_seed_whatever_the_order_of_rows():
    items = pd.concat([frame([1, 0, 0], seed=s, method=m) for m in "ba" for s in (1, 0)]).sample(frac=1, random_state=0)
    grid = grids(items)["q"]
    assert grid.runs == (("a", 0), ("a", 1), ("b", 0), ("b", 1))
    assert grid.rows("b", [1, 0]) == [3, 2]
    assert shared_seeds([grid]) == {"a": [0, 1], "b": [0, 1]}
    fewer = grids(items[(items["method"] == "b") & (items["seed"] == 1)])["q"]
    assert shared_seeds([grid, fewer]) == {"b": [1]}
    assert np.array_equal(grid.values_RU, [[1, 0, 0]] * 4)


def test_the_same_cluster_name_in_two_benches_is_two_clusters():
    items = pd.concat([frame([1, 0], bench=b, clusters=["x", "x"]) for b in "ab"])
    assert [grid.clusters for grid in grids(items).values()] == [1, 1]
    assert grids(pooled(items))["all"].clusters == 2


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (frame([1, 1.5]), "outside 0..1"),
        (frame([1, None]), "outside 0..1"),
        (pd.concat([frame([1, 0], method="a"), frame([1], method="b")]), "b seed 0 lacks the unit q1"),
        (pd.concat([frame([1, 0]), frame([1, 0], clusters=["x", "x"], seed=1)]), "unit q0 is in two clusters"),
    ],
)
def test_what_cannot_be_compared_is_refused(items, said):
    with pytest.raises(ValueError, match=said):
        grids(items)
