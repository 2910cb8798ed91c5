"""Rows for grading replies that are there already: no pictures, few columns, nothing heavy to import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from eval.benches import BENCHES
from eval.core.errors import UserError
from eval.data.load import load_text
from tests.support.paths import ROOT, SHARED

RECORDED = SHARED / "bench-data"
Row = dict[str, Any]


@pytest.mark.parametrize(
    ("bench", "row", "says"),
    [
        ("mathvista", {"question_type": "multi_choice", "answer_type": "text"}, "no list of choices"),
        ("mathvista", {"question_type": "free_form", "answer_type": "float"}, "float answer but no precision"),
        ("mmmu", {"question_type": "multiple-choice", "options": "[not a list"}, "no list of options"),
        ("mmmu", {"question_type": "multiple-choice"}, "no list of options"),
        ("wemath", {"ID": "2steps_1", "key": "2step"}, "key '2step', not one such as 2steps_1"),
        ("zerobench", {"question_text": "?"}, "no column question_id"),
    ],
)
def test_a_row_that_grading_would_stumble_over_is_named(tmp_path: Path, bench: str, row: Row, says: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"id": 1, "pid": 1, "answer": "A", **row}]))
    with pytest.raises(UserError, match=rf"row 1: .*{says}"):
        load_text(bench, str(file))


def test_text_rows_need_no_picture_and_only_what_is_graded(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"7": {"pid": "7", "question_type": "free_form", "answer": 3,
        "answer_type": "integer", "image": "gone.png"}}))  # fmt: skip
    (row,) = load_text("mathvista", str(tmp_path / "a.json"))
    assert (row["pid"], row["answer"]) == ("7", "3")
    letters = {"id": "validation_Math_1", "question_type": "multiple-choice", "answer": "B",
        "index2ans": {"A": "x", "B": "y"}}  # fmt: skip
    opened = {"id": "validation_Math_2", "question_type": "short-answer", "answer": "1\u20282", "index2ans": None}
    (tmp_path / "b.jsonl").write_text(f"{json.dumps(letters)}\n{json.dumps(opened, ensure_ascii=False)}\n")
    first, second = load_text("mmmu", str(tmp_path / "b.jsonl"))
    assert (first["options"], second["question_type"]) == ("['x', 'y']", "open")
    whole = {"id": "1", "options": [], "answer": "3", "level": 1, "subject": "counting"}
    whole["decoded_image"] = {"bytes": b"never read", "path": None}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([whole]), tmp_path / "c.parquet")
    (row,) = load_text("mathvision", str(tmp_path / "c.parquet"))
    assert "decoded_image" not in row


def test_text_rows_are_read_without_heavy_packages(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": 1, "options": [], "answer": "3", "level": 1, "subject": "counting"}')
    code = (
        "import sys; from eval.data.load import load_text; rows = load_text('mathvision', sys.argv[1]);"
        "print(len(rows), {'torch', 'datasets', 'pandas', 'pyarrow', 'numpy', 'lm_eval'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "1 set()\n", done.stderr


@pytest.mark.parametrize(
    ("bench", "file", "n"),
    [
        ("mmmu", "annotations_val900", 900),
        ("mathvista", "annotations_testmini1000", 1000),
        ("mathvision", "annotations_test3040", 3040),
        ("wemath", "annotations_testmini1740", 1740),
    ],
)
def test_official_annotation_files_are_rows_to_grade(bench: str, file: str, n: int) -> None:
    path = RECORDED / bench / f"{file}.jsonl.gz"
    if not path.is_file():
        pytest.skip("needs ../shared/bench-data")
    rows = load_text(bench, str(path))
    assert len(rows) == len({BENCHES[bench].row_id(row) for row in rows}) == n
    # Whoever answers with the gold is right: options, precision and answers are where grading looks for them.
    golds = [mathvista_gold(row) if bench == "mathvista" else str(row["answer"]) for row in rows]
    right = sum(BENCHES[bench].grade(row, f"<answer>{gold}</answer>", "default").correct or False
        for row, gold in zip(rows, golds, strict=True))  # fmt: skip
    assert right >= 0.98 * n


def mathvista_gold(row: Row) -> str:
    return "ABCDEFGHIJ"[row["choices"].index(row["answer"])] if row["choices"] else str(row["answer"])
