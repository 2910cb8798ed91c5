"""What training data are: by content, and hashed once."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from eval.core.errors import UserError
from runners.data import source
from runners.data.source import data_hash
from runners.run.config import resolve


def hashed(path: Path | str, *more: str) -> str:
    return data_hash(resolve("cpu", "grpo", 0, [f"data.source={path}", *more]))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    lines = [
        {"question": "?", "answer": "1", "image": "a.png"},
        {"question": "?", "answer": "1", "images": ["b.png", None]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "rows.jsonl"


def test_a_byte_of_a_row_or_of_a_picture_is_told(rows: Path, tmp_path: Path) -> None:
    before = hashed(rows)
    assert len(before) == 16
    (tmp_path / "b.png").write_bytes(b"c.png")
    changed = hashed(rows)
    rows.write_text(rows.read_text().replace('"1"', '"2"', 1))
    assert len({before, changed, hashed(rows)}) == 3
    (tmp_path / "b.png").unlink()
    assert hashed(rows) not in (before, changed)


def test_it_hangs_on_contents_and_not_on_names_or_times(rows: Path, tmp_path: Path) -> None:
    before = hashed(rows)
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in (rows, tmp_path / "a.png", tmp_path / "b.png"):
        (other / path.name).write_bytes(path.read_bytes())
    assert hashed(other / "rows.jsonl") == before
    os.utime(rows, (1, 1))
    assert hashed(rows) == before


def test_what_has_not_changed_is_not_read_again(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hashed(rows)

    def read(*_: Any) -> Any:
        pytest.fail("read again")

    monkeypatch.setattr(source.files, "content_hash", read)
    monkeypatch.setattr(source, "_pictures", read)
    assert hashed(rows) == before


def test_where_nothing_can_be_noted_it_is_hashed_again(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashed(rows)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "file"))
    assert hashed(rows) == before


def test_parquet_drawn_data_and_data_that_are_not_there(tmp_path: Path) -> None:
    for n in (1, 2):
        pyarrow.parquet.write_table(pyarrow.table({"question": ["?"], "answer": [n]}), tmp_path / f"{n}.parquet")
    found = {hashed(tmp_path / f"{n}.parquet") for n in (1, 2)} | {hashed("synthetic"), hashed("synthetic-text")}
    assert len(found) == 4
    assert hashed("synthetic") == hashed("synthetic", "train.steps=3")
    with pytest.raises(UserError, match="no such file or folder"):
        hashed(tmp_path / "absent.jsonl")
