"""Training data: drawn, and local rows with everything that can be wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runners.config import resolve
from runners.data import training_rows
from runners.errors import UserError


def _file(folder: Path, *rows: dict[str, Any]) -> str:
    Image.new("RGBA", (40, 30), (255, 0, 0, 128)).save(folder / "a.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"data.source={folder / 'rows.jsonl'}"


GOOD = {"id": "g", "question": "How many?", "image": "a.png", "answer": "3", "solution": "I see 3."}
ONE = ("train.steps=1", "train.prompts=2", "train.micro_batch=16")


def test_drawn_rows_are_the_same_for_every_method_and_differ_by_seed() -> None:
    a = training_rows(resolve("cpu", "grpo", 0, [*ONE]))
    b = training_rows(resolve("cpu", "rlsd", 0, [*ONE]))
    c = training_rows(resolve("cpu", "rlsd", 1, [*ONE]))
    assert a["id"] == b["id"]
    assert [row["images"][0].tobytes() for row in a] == [row["images"][0].tobytes() for row in b]
    assert a["prompt"] == b["prompt"] != c["prompt"]


def test_local_rows(tmp_path: Path) -> None:
    rows = training_rows(resolve("cpu", "grpo", 0, [*ONE, _file(tmp_path, GOOD)]))
    assert len(rows) == 2, "a short set is repeated until every step has its prompts"
    assert rows[0]["answer"] == "3"
    assert rows[0]["solution"] == "I see 3."
    assert rows[0]["images"][0].size == (40, 30)
    assert rows[0]["images"][0].mode == "RGB"
    assert rows[0]["prompt"][0]["content"].startswith("How many?")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "row bad of .* has no answer"),
        ({"answer": "  "}, "row bad of .* has no answer"),
        ({"image": None}, "row bad of .* has no image"),
        ({"image": "broken.png"}, "row bad of .*picture does not open"),
        ({"image": "absent.png"}, "row bad of .*picture does not open"),
        ({"question": None}, "row bad of .* has no question"),
    ],
)
def test_a_bad_row_is_named_and_left_out_only_if_asked(
    tmp_path: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _file(tmp_path, GOOD, {**GOOD, "id": "bad", **change})
    with pytest.raises(UserError, match=message) as error:
        training_rows(resolve("cpu", "grpo", 0, [*ONE, source]))
    assert "\n" not in str(error.value)
    rows = training_rows(resolve("cpu", "grpo", 0, [*ONE, source, "data.skip_bad_rows=true"]))
    assert set(rows["id"]) == {"g"}
    assert "1 of " in capsys.readouterr().out.replace("1 rows", "1 of ")


def test_nothing_usable(tmp_path: Path) -> None:
    source = _file(tmp_path, {**GOOD, "answer": None})
    with pytest.raises(UserError, match="no usable row"):
        training_rows(resolve("cpu", "grpo", 0, [*ONE, source, "data.skip_bad_rows=true"]))
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(UserError, match="training data is"):
        training_rows(resolve("cpu", "grpo", 0, [*ONE, f"data.source={tmp_path / 'rows.txt'}"]))
    (tmp_path / "torn.jsonl").write_text('{"question": ')
    with pytest.raises(UserError, match="cannot load"):
        training_rows(resolve("cpu", "grpo", 0, [*ONE, f"data.source={tmp_path / 'torn.jsonl'}"]))
