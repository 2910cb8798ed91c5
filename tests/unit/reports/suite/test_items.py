import numpy as np
import pandas as pd
import pytest

from eval.benches import BENCHES
from reports.stats.grid import grids
from reports.suite.items import leakage_items, score_items
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, N, write_eval, write_run


def test_items_mean_what_the_results_say(suite):
    runs = load_suite(suite).runs
    items = score_items(runs, BENCHES)
    for bench, grid in grids(items).items():
        assert grid.units == N[bench]
        assert grid.runs == tuple(sorted((run.method, run.seed) for run in runs))
        shares = {method: values.mean() for (method, _), values in zip(grid.runs, grid.values_RU, strict=True)}
        assert shares == pytest.approx({run.method: run.results[bench].score for run in runs})


def test_a_problem_is_worth_what_its_rows_together_are(tmp_path):
    run = write_run(tmp_path / "s", "grpo")
    write_eval(run, 60, CORRECT["grpo"])
    path = run / "eval/60/wemath/samples.parquet"
    samples = pd.read_parquet(path)
    again = samples.assign(sample=1)
    samples.loc[2, "correct"] = False  # the whole of a problem whose parts are right: half a credit
    samples.loc[3, "correct"] = False  # a part, while the whole is right: none
    pd.concat([samples, again]).to_parquet(path)
    items = score_items(load_suite(tmp_path / "s").runs, ["wemath"])
    assert len(items) == 2 * N["wemath"]
    worth = items[items["sample"] == 0].set_index("unit")["value"]
    assert worth["wemath-0"] == 0.5
    assert worth["wemath-1"] == 0
    assert worth["wemath-2"] == 1
    grid = grids(items)["wemath"]
    assert not grid.single
    assert np.sort(grid.values_RU[0])[-3:].tolist() == [1, 1, 1]


def test_rows_without_gold_are_left_out_and_broken_samples_say_nothing(tmp_path):
    run = write_run(tmp_path / "s", "grpo")
    write_eval(run, 60, CORRECT["grpo"])
    runs = load_suite(tmp_path / "s").runs
    path = run / "eval/60/mmmu/samples.parquet"
    samples = pd.read_parquet(path)
    samples["correct"] = samples["correct"].astype("boolean")
    samples.loc[5, "correct"] = None
    samples.to_parquet(path)
    assert len(score_items(runs, ["mmmu"])) == N["mmmu"] - 1
    samples.drop(columns="correct").to_parquet(path)
    assert score_items(runs, ["mmmu"]) is None
    path.write_bytes(b"torn")
    assert score_items(runs, ["mathvista", "mmmu"]) is None
    path.unlink()
    assert score_items(runs, ["mmmu"]) is None


def test_leakage_items_are_the_replies_that_mention_a_reference(tmp_path):
    write_eval(write_run(tmp_path / "s", "opsd"), 60, CORRECT["opsd"], leaks=30)
    runs = load_suite(tmp_path / "s").runs
    items = leakage_items(runs, BENCHES, "mention")
    assert items.groupby("bench")["value"].sum()["mmmu"] == 30
    assert items["value"].sum() == 30
    assert len(items) == 322
    assert leakage_items(runs, BENCHES, "another") is None
