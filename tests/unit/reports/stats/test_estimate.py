import math

import numpy as np
import pandas as pd
import pytest

from reports.stats.estimate import Estimate, covers, over_benches, over_seeds
from tests.unit.reports.stats.frames import frame


def test_one_seed_keeps_its_own_error():
    assert over_seeds([0.6], [0.05], 60) == Estimate(0.6, 0.05, 60, 1)
    assert over_seeds([0.6], [None], 60).stderr is None


def test_several_seeds_by_hand():
    items = pd.concat([frame([1, 1, 0, 0]), frame([1, 1, 1, 0], seed=1)])
    found = over_seeds([0.5, 0.75], [0.3, 0.25], 4, items)
    # Means over seeds 1, 1, .5, 0; scores .5 and .75; the seeds' differences, item by item, 0, 0, 1, 0.
    items_part = np.var([1, 1, 0.5, 0], ddof=1) / 4
    luck = np.var([0, 0, 1, 0], ddof=1) / 4 / 4
    assert np.var([0.5, 0.75], ddof=1) / 2 == luck  # so that training adds nothing
    assert found.mean == 0.625
    assert found.stderr == pytest.approx(math.sqrt(items_part))
    assert (found.n, found.seeds) == (4, 2)


def test_seeds_of_nothing_but_luck_have_the_error_of_their_replies_means():
    """The seeds' mean squared error + their variance / S would be sqrt(5) times as wide: replies counted twice."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        values = (rng.random((4, 300)) < 0.5).astype(float)
        items = pd.concat([frame(row, seed=seed) for seed, row in enumerate(values)])
        ratios.append(over_seeds(list(values.mean(1)), [0.03] * 4, 300, items).stderr ** 2 / (0.25 / 300 / 4))
    assert np.mean(ratios) == pytest.approx(1.35, abs=0.25)  # above 1: a variance below nothing counts as nothing


def test_several_seeds_without_items_have_no_error():
    assert over_seeds([0.5, 0.7], [0.03, 0.04], 60).stderr is None


def test_over_benches_by_hand():
    mean, stderr = over_benches([0.5, 0.5, 0.4, 0.1, 0.25], [0.1] * 5)
    assert mean == pytest.approx(0.35)
    assert stderr == pytest.approx(math.sqrt(5 * 0.01) / 5)
    assert over_benches([0.5, 0.6], [0.1, None]) == (pytest.approx(0.55), None)


@pytest.mark.parametrize(
    ("seeds", "by_seed", "said"),
    [
        ((1, 1), False, "Not covered: training again"),
        ((3, 3), True, "3 seeds, the methods paired seed by seed"),
        ((3, 2), False, "3 and 2 seeds, not paired"),
        ((1, 4), False, "the side with 4 seeds"),
    ],
)
def test_every_interval_says_what_it_covers(seeds, by_seed, said):
    assert said in covers(1, seeds, by_seed)
    assert "which benches there are is taken as given" in covers(5, seeds, by_seed)
