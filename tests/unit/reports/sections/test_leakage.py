"""The leakage section: rates over seeds, phrases, and examples cut to what a reader may see."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from reports.sections.leakage import leakage
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, build, write_eval, write_run


def row_of(suite, method):
    (found,) = leakage(load_suite(suite))
    return next(row for row in found.rows if row.method == method)


def test_leakage_rows_pool_seeds_and_show_one_example_a_bench(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "opsd", 0), 60, CORRECT["opsd"], leaks=30)
    write_eval(write_run(suite, "opsd", 1), 60, CORRECT["opsd"], leaks=10)
    row = row_of(suite, "opsd")
    assert row.rate is not None
    assert row.rate.mean == pytest.approx((30 / 322 + 10 / 322) / 2)
    assert row.rate.seeds == 2
    # The first 30 replies leak with one seed, the first 10 with the other: 10 always, 20 once in two.
    items = np.var([1] * 10 + [0.5] * 20 + [0] * 292, ddof=1) / 322
    between = np.var([30 / 322, 10 / 322], ddof=1) / 2
    luck = np.var([1] * 20 + [0] * 302, ddof=1) / 4 / 322  # of the seeds' differences, item by item
    assert row.rate.stderr == pytest.approx(math.sqrt(items + between - luck))
    assert row.phrases == {"reference answer": 40}
    assert [example.where for example in row.examples] == [
        "OPSD, seed 0, MMMU item mmmu-0",
        "OPSD, seed 1, MMMU item mmmu-0",
    ]


def test_phrases_are_told_in_a_sentence_and_long_or_many_ones_are_cut(tmp_path):
    """Two detectors' phrases are as long as a whole reply."""
    write_eval(write_run(tmp_path / "s", "grpo"), 60, CORRECT["grpo"], leaks=1)
    write_eval(write_run(tmp_path / "s", "opsd"), 60, CORRECT["opsd"], leaks=30)
    path = tmp_path / "s/opsd/seed0/eval/60/leakage.json"
    found = json.loads(path.read_text())
    found["mention"]["phrases"] = {"<b>\u202e" + "x" * 80: 9, **{f"phrase {i}": 8 - i for i in range(7)}}
    path.write_text(json.dumps(found))
    told = row_of(tmp_path / "s", "opsd").told
    assert told.startswith("Phrases (replies): “<b>�" + "x" * 55 + "…” (9), “phrase 0” (8), ")
    assert told.endswith("“phrase 4” (4), and 2 more.")
    page = build(tmp_path / "s").read_text()
    assert "“&lt;b&gt;�xxx" in page
    assert re.findall(r"<details( open)?><summary>(\w+): what was found", page) == [("", "GRPO"), (" open", "OPSD")]


def test_long_examples_are_cut_around_the_phrase_and_cleaned(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "opsd"), 60, CORRECT["opsd"], leaks=1)
    path = suite / "opsd/seed0/eval/60/mmmu/samples.parquet"
    frame = pd.read_parquet(path)
    frame.loc[0, "reply"] = "a" * 5000 + "\u202e reference answer \x00" + "b" * 5000
    frame.to_parquet(path)
    row = row_of(suite, "opsd")
    text = "".join(piece for piece, _ in row.examples[0].pieces)
    assert len(text) < 600
    assert "reference answer" in text
    assert text.startswith("… ")
    assert text.endswith(" …")
    assert "\u202e" not in text
    assert "\x00" not in text
    assert [piece for piece, marked in row.examples[0].pieces if marked] == ["reference answer"]
    path.write_bytes(b"torn")
    assert row_of(suite, "opsd").examples == ()


def test_detectors_that_nobody_here_knows_are_shown(tmp_path):
    suite = tmp_path / "s"
    run = write_run(suite, "opsd")
    write_eval(run, 60, CORRECT["opsd"], leaks=30)
    write_eval(write_run(suite, "grpo"), 60, CORRECT["grpo"])
    path = run / "eval/60/leakage.json"
    echo = {"label": "echo a <hint>", "meaning": "Looked for & found.", "rate": 0.5, "stderr": 0.1, "n": 25}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"echo": echo, "none": {**echo, "rate": None, "n": 0}}))
    mention, other = leakage(load_suite(suite))
    assert (mention.name, other.name) == ("mention", "echo")
    assert {row.method: row.rate and row.rate.mean for row in other.rows} == {"grpo": None, "opsd": 0.5}
    page = build(suite)
    html = page.read_text()
    assert "<h3>Replies that echo a &lt;hint&gt;</h3>" in html
    assert "Looked for &amp; found." in html
    assert "| OPSD | 9.3 ± 1.6 | 50.0 ± 10.0 |" in (page.parent / "leakage.md").read_text()
    assert "ours,opsd,OPSD,echo,,25,1,0.500000,0.100000" in (page.parent / "leakage.csv").read_text()
    assert (page.parent / "figures/leakage_evaluated_echo.svg").exists()


def test_leakage_of_an_older_version_is_one_line(tmp_path):
    write_eval(write_run(tmp_path / "s", "opsd"), 60, CORRECT["opsd"])
    (tmp_path / "s/opsd/seed0/eval/60/leakage.json").write_text('{"rate": 0.1, "stderr": 0.0, "n": 3, "phrases": {}}')
    suite = load_suite(tmp_path / "s")
    told = "opsd/seed0/eval/60/leakage.json was written by an older version: evaluate again (cli.py eval)."
    assert told in suite.problems
    assert leakage(suite) == []
    assert "No run has a leakage result" in build(tmp_path / "s").read_text()
