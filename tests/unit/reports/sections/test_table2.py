"""Table 2: values and standard errors."""

import math

import pytest

from reports.sections.table import percent
from reports.sections.table2 import tables
from reports.stats.estimate import over_benches, over_seeds
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, LABELS, N, write_eval, write_json, write_run, write_suite


def ours(suite):
    return tables(load_suite(suite)).ours


def cells(table, method):
    return next(row for row in table.rows if row.method == method).cells


def test_over_seeds_by_hand():
    one = over_seeds([0.6], [0.05], 60)
    assert (one.mean, one.stderr, one.n, one.seeds) == (0.6, 0.05, 60, 1)
    two = over_seeds([0.5, 0.7], [0.03, 0.04], 60)
    # item part (9e-4 + 16e-4) / 2 = 1.25e-3, seed part 0.02 / 2 = 1e-2
    assert two.mean == pytest.approx(0.6)
    assert two.stderr == pytest.approx(math.sqrt(0.01125))
    assert over_seeds([0.5, 0.7], [0.03, None], 60).stderr is None


def test_over_benches_by_hand():
    mean, stderr = over_benches([0.5, 0.5, 0.4, 0.1, 0.25], [0.1] * 5)
    assert mean == pytest.approx(0.35)
    assert stderr == pytest.approx(math.sqrt(5 * 0.01) / 5)


def test_single_seed_cells(tmp_path):
    table = ours(write_suite(tmp_path / "demo"))
    assert [row.label for row in table.rows] == ["Base", "GRPO", "OPSD", "SDPO", "GRPO+OPSD", "RLSD"]
    grpo = cells(table, "grpo")
    assert percent(grpo["mmmu"]) == "60.0 ± 6.3"  # 36 of 60: sqrt(.6 * .4 / 60) = .06325
    assert percent(grpo["average"]) == "47.5 ± 3.0"  # .6 .625 .5 .15 .5
    assert grpo["mmmu"].n == 60
    assert table.columns[0].head == "MMMU mini"


def test_average_over_two_seeds_is_taken_within_each_seed_first(tmp_path):
    suite = tmp_path / "s"
    for seed, share in ((0, 0.25), (1, 0.75)):
        run = write_run(suite, "grpo", seed)
        for bench in N:
            plain = {"bench": bench, "edition": "official", "score": share, "stderr": 0.05, "n": 100}
            write_json(run / "eval/60" / bench / "result.json", plain)
    average = cells(ours(suite), "grpo")["average"]
    # A seed's average has 0.05 / sqrt(5), squared 5e-4; the seeds' 0.25 and 0.75 have variance 0.125, / 2 = 0.0625
    assert average.mean == pytest.approx(0.5)
    assert average.stderr == pytest.approx(math.sqrt(0.0005 + 0.0625))
    assert average.seeds == 2


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
