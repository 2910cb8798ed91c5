"""Which runs a report is about."""

import pytest

from eval.core.errors import UserError
from reports.suite.read import load_suite
from reports.suite.rows import row_labels
from reports.suite.select import selected
from tests.support.report_suite import CORRECT, write_eval, write_run


@pytest.fixture
def suite(tmp_path):
    for method, seed in (("grpo", 0), ("grpo", 1), ("rlsd", 0), ("rlsd@official-code", 0)):
        write_eval(write_run(tmp_path / "s", method, seed), 60, CORRECT["grpo"])
    return load_suite(tmp_path / "s")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["method=rlsd"], {"rlsd/seed0", "rlsd@official-code/seed0"}),
        (["method=grpo,rlsd", "seed=1"], {"grpo/seed1"}),
        (["variant=none"], {"grpo/seed0", "grpo/seed1", "rlsd/seed0"}),
    ],
)
def test_filters(suite, filters, names):
    found = selected(filters, [])(suite)
    assert {run.name for run in found.runs} == names
    kept = set(zip(found.metrics["method"], found.metrics["seed"], strict=True))
    assert kept == {(run.method, run.seed) for run in found.runs}


def test_rows_from_elsewhere(suite, tmp_path):
    other = write_run(tmp_path / "other", "grpo", 4)
    write_eval(other, 60, CORRECT["rlsd"])
    found = selected([], [f"theirs={other}", f"model={other / 'eval/60'}"])(suite)
    assert list(row_labels(found)) == ["grpo", "rlsd", "model", "rlsd@official-code", "theirs"]
    model = next(run for run in found.runs if run.method == "model")
    assert (model.external, model.samples) == (True, other / "eval/60")
    assert model.results["mmmu"].score == pytest.approx(39 / 60)


@pytest.mark.parametrize(
    ("filters", "rows", "message"),
    [
        (["step=3"], [], "choose one of method, variant, seed"),
        (["rlsd"], [], "write it as method=grpo,rlsd"),
        (["method=sdpo"], [], "no run of s fits method=sdpo"),
        ([], ["new=/nowhere"], "neither a run nor an evaluation"),
    ],
)
def test_mistakes(suite, filters, rows, message):
    with pytest.raises(UserError, match=message):
        selected(filters, rows)(suite)
