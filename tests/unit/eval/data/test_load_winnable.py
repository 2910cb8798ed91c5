"""A row whose own answer cannot be right is named before anything is asked."""

from typing import Any

import pytest

from eval.benches import BENCHES
from eval.data.load import lost
from tests.parity.recorded import DATA, lines

MC = {"question_type": "multiple-choice", "options": "['3', '4']"}
FREE = {"pid": "1", "question_type": "free_form", "answer_type": "integer", "precision": None}
CHOICES = {"pid": "1", "question_type": "multi_choice", "answer_type": "text", "choices": ["red", "blue"]}


@pytest.mark.parametrize(
    ("bench", "row"),
    [
        ("mmmu", MC | {"answer": "a"}),
        ("mmmu", {"question_type": "open", "options": "[]", "answer": "['$MgS$', 'MgS']"}),
        ("mathvista", FREE | {"answer": "2.0"}),
        ("mathvista", CHOICES | {"answer": "Red "}),
        ("mathvista", CHOICES | {"answer": "B"}),
        ("mathvision", {"options": ["1", "2"], "answer": "b"}),
        ("mathvision", {"options": [], "answer": "69{degrees}"}),
        ("mathvision", {"options": [], "answer": "\x0crac{36}{13}"}),
        ("mathvision", {"options": [], "answer": "$\\boxed{\\frac{16}{7}}$"}),
        ("zerobench", {"question_answer": "10:25"}),
        ("zerobench", {"question_answer": None}),
        ("wemath", {"answer": "c"}),
    ],
)
def test_a_mended_gold_is_won(bench: str, row: dict[str, Any]) -> None:
    assert lost(BENCHES[bench], row) is None


@pytest.mark.parametrize(
    ("bench", "row", "says"),
    [
        ("mmmu", MC | {"answer": "E"}, "'E' counts as wrong"),
        ("mathvista", CHOICES | {"answer": "green"}, "'green'"),
        ("mathvista", FREE | {"answer": "many"}, "'many'"),
        ("wemath", {"answer": "Z"}, "'Z'"),
        ("zerobench", {"question_answer": " "}, "empty"),
    ],
)
def test_a_row_that_cannot_be_won_is_named(bench: str, row: dict[str, Any], says: str) -> None:
    assert says in (lost(BENCHES[bench], row) or "")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/bench-data")
def test_every_official_row_can_be_won() -> None:
    files = {
        "mathvision": "mathvision/annotations_test3040.jsonl.gz",
        "mathvista": "mathvista/annotations_testmini1000.jsonl.gz",
        "mmmu": "mmmu/annotations_val900.jsonl.gz",
    }
    for bench, file in files.items():
        rows = [
            row | {"options": row.get("options") or list((row.get("index2ans") or {}).values())} for row in lines(file)
        ]
        assert [row for row in rows if lost(BENCHES[bench], row)] == []
