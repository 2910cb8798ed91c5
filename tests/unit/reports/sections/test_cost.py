"""What runs cost, summed from what they recorded."""

import json

from reports.sections.cost import cost
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, write_eval, write_run


def test_sums_over_steps_and_means_over_seeds(tmp_path):
    for seed in (0, 1):
        run = write_run(tmp_path / "s", "grpo", seed)
        rows = [{"step": s, "seconds": 30.0 + seed, "tokens": 5000 * s, "memory_gib": 4.0 + s} for s in (1, 2, 3)]
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
        write_eval(run, 3, CORRECT["grpo"], tokens=10.0, rows=60)
    write_run(tmp_path / "s", "rlsd")
    grpo, rlsd = cost(load_suite(tmp_path / "s"))
    assert (grpo.seeds, grpo.steps, grpo.tokens, grpo.seconds, grpo.gib) == (2, 3, 15000, 91.5, 7.0)
    assert grpo.seconds_a_step == 30.5
    assert grpo.shown == ["3", "15 k", "1.5 min", "30.50 s", "7.0 GiB", "20 s", "3000"]
    assert rlsd.shown == ["60", "–", "–", "–", "–", "–", "–"]


def test_nothing_recorded_is_no_section(tmp_path):
    write_run(tmp_path / "s", "rlsd")
    assert cost(load_suite(tmp_path / "s")) is None
