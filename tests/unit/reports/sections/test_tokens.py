"""Token credit: a question that all methods share, and shades relative to the reply's own range."""

import pandas as pd
import pytest

from reports.sections.tokens import LONGEST, token_credit
from reports.suite.read import load_suite
from tests.support.report_suite import build, write_run


def write_tokens(run, step, replies, size=3):
    """`replies` are item and reward; token i has the advantage reward - 0.5 times 1 + i."""
    rows = [
        {
            "rollout": r,
            "id": item,
            "position": i,
            "token": f"<b>{i}",
            "student": -0.5,
            "teacher": -0.25,
            "weight": 1.0 + i,
            "advantage": (reward - 0.5) * (1 + i),
            "reward": reward,
        }
        for r, (item, reward) in enumerate(replies)
        for i in range(size)
    ]
    (run / "tokens").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(run / f"tokens/step{step:05d}.parquet")


def test_a_shared_question_with_a_right_and_a_wrong_reply(tmp_path):
    write_tokens(write_run(tmp_path / "s", "rlsd"), 10, [("a", 1.0), ("a", 0.0), ("b", 1.0), ("b", 0.0)])
    write_tokens(write_run(tmp_path / "s", "mine", label="Mine"), 10, [("a", 1.0), ("a", 1.0), ("b", 0.0), ("b", 1.0)])
    write_run(tmp_path / "s", "grpo")
    shown = token_credit(load_suite(tmp_path / "s"))
    assert shown.without == ("GRPO",)
    ((item, replies),) = shown.steps[10]
    assert item == "b"
    assert [(reply.label, reply.right) for reply in replies] == [
        ("RLSD", True),
        ("RLSD", False),
        ("Mine", True),
        ("Mine", False),
    ]
    assert [token.share for token in replies[0].tokens] == [0.0, 0.5, 1.0]
    assert [token.share for token in replies[1].tokens] == [0.0, 0.5, 1.0]  # by size: a push down is one, too
    assert replies[0].tokens[0].gap == pytest.approx(0.25)
    html = build(tmp_path / "s").read_text()
    assert "<b>0" not in html
    assert 'title="student −0.500, teacher − student +0.250, weight 1.000, advantage +0.500">&lt;b&gt;0' in html


def test_long_replies_are_cut_and_steps_are_few(tmp_path):
    run = write_run(tmp_path / "s", "rlsd")
    for step in range(1, 9):
        write_tokens(run, step, [("a", 1.0), ("a", 0.0)], size=LONGEST + 7)
    shown = token_credit(load_suite(tmp_path / "s"))
    assert list(shown.steps) == [1, 3, 5, 6, 8]
    assert shown.steps[8][0][1][0].left_out == 7
    assert len(shown.steps[8][0][1][0].tokens) == LONGEST


def test_no_tables_no_section(tmp_path):
    write_run(tmp_path / "s", "grpo")
    assert token_credit(load_suite(tmp_path / "s")) is None
