"""Replies side by side: which questions, what is known of them, and how long texts are cut."""

import pandas as pd

from reports.sections.replies import LONGEST, QUESTIONS, replies
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, N, build, write_eval, write_run


def test_questions_come_in_turns_with_every_methods_reply(suite):
    found = replies(load_suite(suite))
    assert len(found.asked) == QUESTIONS
    assert found.total == sum(N.values()) + 2 * N["wemath"]
    assert [one.bench for one in found.asked].count("mmmu") == QUESTIONS // 5
    first = found.asked[0]
    assert (first.id, first.place, first.question, first.picture) == ("mmmu-0", "q-mmmu-1", None, None)
    kinds = {said.method: said.kinds for said in first.said}
    assert kinds["opsd"] == "right leaking"
    assert kinds["grpo"] == "right"


def test_what_was_asked_is_shown_where_it_was_kept(tmp_path):
    run = write_run(tmp_path / "s", "grpo")
    write_eval(run, 60, CORRECT["grpo"])
    kept = {"id": ["mmmu-0"], "question": ["<b>Why</b>?"], "gold": ["42"], "pictures": [2], "picture": [b"\xff\xd8"]}
    pd.DataFrame(kept).to_parquet(run / "eval/60/mmmu/questions.parquet")
    path = run / "eval/60/mmmu/samples.parquet"
    frame = pd.read_parquet(path)
    frame.loc[0, "reply"] = "a" * 10_000 + "THE END"
    frame.assign(finish="length", extracted="7").to_parquet(path)
    one = replies(load_suite(tmp_path / "s")).asked[0]
    assert (one.gold, one.pictures, one.picture) == ("42", 2, "data:image/jpeg;base64,/9g=")
    (said,) = one.said
    assert len(said.text) < LONGEST + 50
    assert said.text.endswith("THE END")
    assert (said.kinds, said.read) == ("right truncated", "7")
    html = build(tmp_path / "s").read_text()
    assert "&lt;b&gt;Why&lt;/b&gt;?" in html
    assert 'alt="Picture of the question, the first of 2"' in html


def test_no_samples_no_section(tmp_path):
    write_run(tmp_path / "s", "grpo")
    assert replies(load_suite(tmp_path / "s")) is None
