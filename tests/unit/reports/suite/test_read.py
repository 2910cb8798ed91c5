"""Reading a suite: what is missing becomes a warning, what may not be compared an error."""

import json

import pytest

from eval.core.errors import UserError
from reports.suite.comparable import require_comparable, warnings
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, write_eval, write_run, write_suite


def test_whole_suite_has_no_warning(suite):
    loaded = load_suite(suite)
    require_comparable(loaded.runs)
    assert warnings(loaded) == []
    assert [run.name for run in loaded.runs][:2] == ["base/seed0", "grpo/seed0"]
    assert loaded.runs[1].eval_step == 60
    assert loaded.runs[1].results["mmmu"].score == 0.6
    assert len(loaded.metrics) == 5 * 60


def test_no_suite_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_suite(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no run .*train first"):
        load_suite(tmp_path)
    run = write_run(tmp_path / "demo", "grpo")
    with pytest.raises(UserError, match="is one run; give the suite"):
        load_suite(run)


def test_two_folders_with_one_name_are_refused(tmp_path):
    write_run(tmp_path / "s", "grpo")
    copy = tmp_path / "s" / "copy" / "seed0"
    copy.mkdir(parents=True)
    (copy / "run.json").write_text((tmp_path / "s/grpo/seed0/run.json").read_text())
    with pytest.raises(UserError, match="both call themselves grpo/seed0"):
        load_suite(tmp_path / "s")


def test_a_failed_run_says_why(tmp_path):
    write_run(tmp_path, "grpo", status="failed", steps_done=2, reason="step 3, update: loss not finite")
    text = "\n".join(warnings(load_suite(tmp_path)))
    assert "grpo/seed0 has status failed at step 2 of 60 (step 3, update: loss not finite); the command" in text


def test_missing_pieces_become_warnings(tmp_path):
    suite = tmp_path / "s"
    write_run(suite, "grpo", status="running", steps_done=31)
    write_eval(write_run(suite, "rlsd", steps=40), 40, CORRECT["rlsd"])
    (suite / "rlsd/seed0/eval/40/mmmu/result.json").unlink()
    (suite / "rlsd/seed0/eval/40/leakage.json").write_text("{")
    (suite / "opsd/seed0").mkdir(parents=True)
    (suite / "sdpo/seed0").mkdir(parents=True)
    (suite / "sdpo/seed0/run.json").write_text('{"method": "sd')
    with (suite / "grpo/seed0/metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "reward": 9.0}\n{"step": 61, "rew')
    loaded = load_suite(suite)
    text = "\n".join(warnings(loaded))
    assert "No run of Base, OPSD, SDPO, GRPO+OPSD" in text
    assert "opsd/seed0 has no run.json" in text
    assert "sdpo/seed0/run.json cannot be read" in text
    assert "grpo/seed0 has status running at step 31 of 60" in text
    assert "grpo/seed0 has not been evaluated" in text
    assert "rlsd/seed0 was not evaluated on MMMU" in text
    assert "rlsd/seed0/eval/40/leakage.json cannot be read" in text
    assert "rlsd/seed0 has no leakage result" in text
    assert "The number of training steps differs" in text
    assert "1 unreadable line(s)" in text
    assert "1 repeated step(s)" in text
    grpo = loaded.metrics[loaded.metrics["method"] == "grpo"].set_index("step")
    assert len(grpo) == 60
    assert grpo.loc[60, "reward"] == 9.0


def test_warnings_about_steps_seeds_scores_and_base(tmp_path):
    suite = write_suite(tmp_path / "s")
    write_run(suite, "rlsd", 1, model="somewhere/else")
    (suite / "opsd/seed0/eval/60").rename(suite / "opsd/seed0/eval/40")
    path = suite / "sdpo/seed0/eval/60/zerobench/result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"score": None, "stderr": None}))
    text = "\n".join(warnings(load_suite(suite)))
    assert "opsd/seed0 was evaluated at step 40 but trained to step 60" in text
    assert "The evaluated step differs between runs: 40 in opsd/seed0; 60 in the others" in text
    assert "sdpo/seed0 has no score on ZeroBench" in text
    assert "Methods were run with different seeds (GRPO: 0; " in text
    assert "RLSD: 0, 1" in text
    assert "rlsd/seed1 started from another model" in text


def test_the_last_evaluated_step_is_read_by_number(tmp_path):
    run = write_run(tmp_path / "s", "grpo", steps=100)
    write_eval(run, 100, CORRECT["grpo"])
    write_eval(run, 20, CORRECT["opsd"])
    (run / "eval/120").mkdir()  # begun, and not one bench done
    (loaded,) = load_suite(tmp_path / "s").runs
    assert loaded.eval_step == 100
    assert loaded.results["mmmu"].score == 0.6
