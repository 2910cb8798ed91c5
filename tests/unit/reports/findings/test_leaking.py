"""Who leaks: rates, against the base or GRPO, and the right answers of leaking and clean replies."""

import pytest
from scipy import stats

from reports.findings.leaking import leaks
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, write_eval, write_run


def test_leaking_replies_are_held_against_the_bases_and_against_clean_ones(suite):
    (found,) = leaks(load_suite(suite))
    assert (found.detector, found.reference, found.missing, found.alike) == ("mention", "base", (), True)
    assert found.rows["base"].more is None
    assert found.rows["rlsd"].more.p == 1
    row = found.rows["opsd"]
    interval = stats.binomtest(30, 322).proportion_ci(method="wilson")
    assert (row.rate.mean, row.rate.low, row.rate.high) == pytest.approx(
        (30 / 322, interval.low, interval.high), abs=1e-3
    )
    assert row.more.p == pytest.approx(5 * stats.binomtest(30, 30).pvalue)  # McNemar's, the smallest of five
    # The first 30 replies of MMMU leak, of which 24 are right. Clean: 30 + 20 + 2 of 154, and 27 of We-Math's 108 rows.
    assert row.right == pytest.approx((24 / 30, (30 + 20 + 2 + 27) / 292))
    assert row.gain.mean == pytest.approx(24 / 30 - 79 / 292)


def test_grpo_stands_in_for_a_missing_base_and_nothing_for_both(tmp_path):
    for method, count in (("grpo", 2), ("opsd", 30), ("rlsd", 0)):
        write_eval(write_run(tmp_path / "s", method), 60, CORRECT[method], leaks=count)
    (found,) = leaks(load_suite(tmp_path / "s"))
    assert found.reference == "grpo"
    assert found.rows["opsd"].more.mean == pytest.approx(28 / 322)
    (tmp_path / "s/rlsd/seed0/eval/60/mmmu/samples.parquet").unlink()
    (tmp_path / "s/grpo/seed0/run.json").unlink()
    (found,) = leaks(load_suite(tmp_path / "s"))
    assert (found.reference, found.missing) == (None, ("RLSD",))
    assert found.rows["opsd"].more is None
