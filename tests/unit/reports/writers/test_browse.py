"""Replies for a pager."""

import pytest

from eval.core.errors import UserError
from reports.writers.browse import browsed
from tests.support.report_suite import CORRECT, N, write_eval, write_run


def test_replies_are_chosen_and_cannot_steer_a_terminal(tmp_path):
    run = write_run(tmp_path / "s", "opsd")
    write_eval(run, 60, CORRECT["opsd"], leaks=3)
    assert len(list(browsed(run, "mmmu", wrong=False, leaking=False))) == N["mmmu"]
    assert len(list(browsed(run, "mmmu", wrong=True, leaking=False))) == N["mmmu"] - CORRECT["opsd"][0]
    (first, *others) = browsed(run, None, wrong=False, leaking=True)
    assert len(others) == 2
    assert first.startswith("=== MMMU  mmmu-0  sample 0: right, leaks\n")
    assert "Reference  answer" in first
    with pytest.raises(UserError, match="unknown bench 'mmlu'"):
        list(browsed(run, "mmlu", wrong=False, leaking=False))
    with pytest.raises(UserError, match=r"has no evaluation: cli.py eval --run"):
        list(browsed(write_run(tmp_path / "s", "grpo"), None, wrong=False, leaking=False))
