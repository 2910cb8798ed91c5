"""Training as the population: one score a seed, against scipy."""

import pytest
from scipy import stats

from reports.findings.trainings import trainings
from reports.suite.read import load_suite
from tests.support.report_suite import write_eval, write_run

RIGHT = {"grpo": (30, 33, 34), "rlsd": (36, 40, 38), "opsd": (20, 25)}


def test_pairs_are_tested_by_seed_and_corrected(tmp_path):
    for method, counts in RIGHT.items():
        for seed, right in enumerate(counts):
            write_eval(write_run(tmp_path / "s", method, seed), 60, (right, 32, 20, 4, 9))
    write_eval(write_run(tmp_path / "s", "sdpo"), 60, (30, 32, 20, 4, 9))  # one seed has no spread
    found = trainings(load_suite(tmp_path / "s"), "mmmu")
    shares = {method: [right / 60 for right in counts] for method, counts in RIGHT.items()}
    paired = stats.ttest_rel(shares["rlsd"], shares["grpo"])
    apart = {
        ("rlsd", "grpo"): paired.pvalue,
        ("rlsd", "opsd"): stats.ttest_rel(shares["rlsd"][:2], shares["opsd"]).pvalue,  # all seeds that OPSD has
        ("opsd", "grpo"): stats.ttest_rel(shares["opsd"], shares["grpo"][:2]).pvalue,
    }
    assert found.keys() == apart.keys()
    corrected, largest = {}, 0.0
    for rank, pair in enumerate(sorted(apart, key=apart.__getitem__)):
        largest = corrected[pair] = max(largest, min(1.0, (3 - rank) * apart[pair]))
    assert {pair: cell.p for pair, cell in found.items()} == pytest.approx(corrected)
    cell = found["rlsd", "grpo"]
    assert (cell.low, cell.high) == pytest.approx(tuple(paired.confidence_interval()))
