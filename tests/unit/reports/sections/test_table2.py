"""Table 2: values and standard errors."""

import math

import numpy as np
import pytest

from reports.findings.table import percent
from reports.sections.table2 import tables
from reports.suite.paper import LABELS
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, write_eval, write_run, write_suite


def ours(suite):
    return tables(load_suite(suite)).ours


def cells(table, method):
    return next(row for row in table.rows if row.method == method).cells


def test_single_seed_cells(suite):
    table = ours(suite)
    assert [row.label for row in table.rows] == ["Base", "GRPO", "OPSD", "SDPO", "GRPO+OPSD", "RLSD"]
    grpo = cells(table, "grpo")
    assert percent(grpo["mmmu"]) == "60.0 ± 6.3"  # 36 of 60: sqrt(.6 * .4 / 60) = .06325
    assert percent(grpo["average"]) == "47.5 ± 3.0"  # .6 .625 .5 .15 .5
    assert grpo["mmmu"].n == 60
    assert table.columns[0].head == "MMMU mini"


def test_two_seeds_have_the_error_of_items_and_training_together(tmp_path):
    suite = tmp_path / "s"
    for seed, right in ((0, (15, 16, 10, 10, 9)), (1, (45, 48, 40, 30, 27))):
        write_eval(write_run(suite, "grpo", seed), 60, right)
    found = cells(ours(suite), "grpo")
    # MMMU: the first 15 of 60 are right twice, 30 once, 15 never; the scores are .25 and .75.
    items = np.var([1] * 15 + [0.5] * 30 + [0] * 15, ddof=1) / 60
    luck = np.var([1] * 30 + [0] * 30, ddof=1) / 4 / 60
    assert found["mmmu"].mean == pytest.approx(0.5)
    assert found["mmmu"].stderr == pytest.approx(math.sqrt(items + 0.125 / 2 - luck))
    assert found["mmmu"].seeds == found["average"].seeds == 2
    # The average's training part is that of the seeds' averages: all benches rise together.
    first = np.mean([15 / 60, 16 / 64, 10 / 50, 10 / 40, 9 / 36])
    second = np.mean([45 / 60, 48 / 64, 40 / 50, 30 / 40, 27 / 36])
    average = found["average"]
    assert average.mean == pytest.approx((first + second) / 2)
    assert average.stderr == pytest.approx((second - first) / 2, rel=0.02)  # sqrt(variance / 2); items add little


def test_several_seeds_without_their_samples_have_no_error(tmp_path):
    suite = tmp_path / "s"
    for seed in (0, 1):
        write_eval(write_run(suite, "grpo", seed), 60, CORRECT["grpo"])
    (suite / "grpo/seed1/eval/60/wemath/samples.parquet").unlink()
    found = cells(ours(suite), "grpo")
    assert found["mmmu"].stderr is not None
    assert found["wemath"].stderr is None
    assert found["average"].stderr is None
    assert percent(found["wemath"]) == "50.0"


def test_unfinished_run_counts_only_without_a_finished_one(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "grpo", 0), 60, CORRECT["grpo"])
    write_eval(write_run(suite, "grpo", 1, status="running", steps_done=20), 20, CORRECT["opsd"])
    write_eval(write_run(suite, "rlsd", 0, status="running", steps_done=20), 20, CORRECT["rlsd"])
    table = ours(suite)
    assert cells(table, "grpo")["mmmu"].mean == pytest.approx(36 / 60)
    assert [row.shown_label for row in table.rows if not row.finished] == ["RLSD †"]
    assert any("†" in note for note in table.notes)


def test_missing_bench_and_null_score_leave_cell_and_average_empty(tmp_path):
    suite = write_suite(tmp_path / "s")
    (suite / "grpo/seed0/eval/60/mmmu/result.json").unlink()
    path = suite / "rlsd/seed0/eval/60/zerobench/result.json"
    path.write_text(path.read_text().replace('"score": 0.175', '"score": null'))
    table = ours(suite)
    assert cells(table, "grpo")["mmmu"] is None
    assert cells(table, "grpo")["average"] is None
    assert cells(table, "rlsd")["zerobench"] is None
    assert cells(table, "rlsd")["average"] is None
    assert cells(table, "rlsd")["mmmu"].mean == pytest.approx(39 / 60)


def test_unknown_methods_follow_the_papers_rows_by_name(tmp_path):
    suite = write_suite(tmp_path / "s")
    for method in ("zeta", "alpha"):
        write_eval(write_run(suite, method, label=method.title()), 60, CORRECT["grpo"])
    assert [row.label for row in ours(suite).rows] == [*LABELS.values(), "Alpha", "Zeta"]
