"""Held-out scores over training: which evaluations belong together, and when GRPO's last score is reached."""

import pandas as pd
import pytest

from reports.findings.heldout import held_out, reached
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, N, write_eval, write_run


def test_every_evaluated_step_counts_from_the_base_on(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "base"), 0, CORRECT["base"])
    for seed in (0, 1):
        run = write_run(suite, "rlsd", seed)
        write_eval(run, 30, CORRECT["grpo"], leaks=10)
        write_eval(run, 60, CORRECT["rlsd"], leaks=20 * seed)
    (accuracy, scores), (_, leakage) = held_out(load_suite(suite))
    found = scores["rlsd"]
    assert list(found.index) == [0, 30, 60]
    assert list(found) == [0, 1]
    expected = [sum(k / n for k, n in zip(CORRECT[m], N.values(), strict=True)) / 5 for m in ("base", "grpo", "rlsd")]
    assert found[1].tolist() == pytest.approx(expected)
    assert leakage["rlsd"].loc[60].tolist() == pytest.approx([0, 20 / 322])
    assert accuracy.unit == "%, the average of 5 benches"


def test_steps_that_were_asked_other_questions_are_left_out(tmp_path):
    run = write_run(tmp_path / "s", "rlsd")
    for step in (20, 40, 60):
        write_eval(run, step, CORRECT["rlsd"], **({"n": 10} if step == 60 else {}))
    (_, scores), _ = held_out(load_suite(tmp_path / "s"))
    assert list(scores["rlsd"].index) == [20, 40]


def test_one_step_is_no_curve(tmp_path):
    write_eval(write_run(tmp_path / "s", "rlsd"), 60, CORRECT["rlsd"])
    assert held_out(load_suite(tmp_path / "s")) == []


def test_when_the_last_score_of_grpo_is_reached():
    steps = [0, 10, 20, 30]
    curves = {
        "grpo": pd.Series([0.1, 0.2, 0.3, 0.5], steps),
        "rlsd": pd.Series([0.1, 0.5, 0.4, 0.6], steps),
        "opsd": pd.Series([0.6, 0.2, 0.1, 0.1], steps),
    }
    assert reached(curves) == (0.5, {"grpo": 30, "rlsd": 10, "opsd": None})
    assert reached({"rlsd": curves["rlsd"], "opsd": curves["opsd"]}) is None
    assert reached(curves | {"grpo": pd.Series([0.4, 0.5, 0.5, 0.5], steps)}) is None  # there from its first step on
