"""What a bench gets without saying it, and what the data room does for one that counts problems of several rows."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval.benches import BENCHES
from eval.benches.bench import Bench
from eval.core.errors import UserError
from eval.data.load import load_text
from eval.grading.score import Row, Rule, Verdict


class Letters(Bench):
    name = "letters"
    label = "Letters"
    split = "test"
    official_n = 3
    pictures = ("first", "others")

    def prompt(self, row: Row) -> str:
        return f"<image>{row['question']}"

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        return Verdict(reply, "none", True, reply == row["answer"])


class Pairs(Letters):
    """Rows `1a` and `1b` are one problem."""

    name = "pairs"

    def problem(self, row: Row) -> str:
        return str(row["id"])[:-1]

    def lacking(self, rows: Sequence[Row]) -> dict[str, set[str]]:
        seen: dict[str, set[str]] = {}
        for row in rows:
            seen.setdefault(self.problem(row), set()).add(str(row["id"])[-1])
        return {problem: set("ab") - there for problem, there in seen.items() if there != set("ab")}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for bench in (Letters(), Pairs()):
        monkeypatch.setitem(BENCHES, bench.name, bench)


def test_a_bench_without_prompt_or_rule_is_none() -> None:
    with pytest.raises(TypeError, match="grade"):
        type("Half", (Bench,), {"prompt": Letters.prompt})()


def test_the_defaults_are_those_of_single_questions_with_single_answers() -> None:
    bench, row = BENCHES["letters"], {"id": 7, "first": "p", "others": ["q", "r"], "answer": "A"}
    assert (bench.row_id(row), bench.cluster(row), bench.gold(row)) == ("7", "7", "A")
    assert bench.shown(row) == ["p", "q", "r"]
    assert bench.shown({**row, "others": None}) == ["p"]
    assert (bench.fault(row), bench.problem(row), bench.lacking([row])) == (None, None, {})
    assert bench.respelt(row) == row and bench.respelt(row) is not row
    assert (bench.reply_column("official"), bench.todays_id("7"), bench.official_summary({})) == ("response", "7", {})
    total = bench.aggregate([({"id": n}, right) for n, right in enumerate((True, False, None))])
    assert (total.score, total.n, total.scores) == (0.5, 2, {"correct": 1, "micro": 0.5})


def test_what_it_does_not_have_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^letters: there is no mini edition; use --data <local file or folder>$"):
        load_text("letters", "mini")
    with pytest.raises(UserError, match=r"^letters: is not on the hub, use --data mini or --data <local [^\n]*$"):
        load_text("letters", "hub")


def test_a_limit_keeps_problems_whole_and_a_partial_one_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    from eval.data.load import load

    Image.new("RGB", (4, 4)).save(tmp_path / "p.png")
    rows = [{"id": i, "question": "?", "answer": "A", "first": "p.png"} for i in ("1a", "2a", "1b", "2b", "3a")]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    assert [row["id"] for row in load("pairs", str(file), limit=3).rows] == ["1a", "1b"]
    assert [row["id"] for row in load("letters", str(file), limit=3).rows] == ["1a", "2a", "1b"]
    with pytest.raises(UserError, match="Letters problem 3 lacks b; add them or pass --skip-bad-rows"):
        load("pairs", str(file))
    kept = load("pairs", str(file), skip_bad=True)
    assert ([row["id"] for row in kept.rows], kept.skipped) == (["1a", "2a", "1b", "2b"], 1)
