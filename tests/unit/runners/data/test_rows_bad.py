"""Rows that cannot be trained on: each named in one line, left out if asked, in bounded time; and odd good ones."""

import base64
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from eval.core.errors import UserError
from eval.core.images import Picture
from runners.data.rows import read_rows
from runners.run.config import DataSettings
from tests.support.pictures import uniform_png

Row = dict[str, Any]
GOOD = {"id": "good", "question": "How many?", "answer": "3", "image": "a.png"}
FOUND_S = 20.0  # on a busy machine; a FIFO would take for ever, and 144 megapixels took 45 s


def png(width: int = 40, height: int = 30, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "png")
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures beside the data and outside their folder."""
    outer = tmp_path_factory.mktemp("outer")
    inner = outer / "data"
    inner.mkdir()
    for path in (inner / "a.png", outer / "secret.png"):
        path.write_bytes(png())
    (inner / "link.png").symlink_to(outer / "secret.png")
    (inner / "long.png").write_bytes(png(2, 900))
    (inner / "cut.png").write_bytes(png()[:-30])
    (inner / "words.png").write_text("no picture")
    (inner / "empty.png").touch()
    (inner / "bomb.png").write_bytes(uniform_png(20_000, 9_001, rows=1))
    (inner / "large.png").write_bytes(uniform_png(12_000, 12_000, rows=12_000))
    (inner / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(inner / "fifo")
    return inner


def data(folder: Path, *rows: Row, **more: Any) -> DataSettings:
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSettings(source=str(source), **more)


BAD: list[tuple[Row, str]] = [
    # Text
    ({"question": "half \ud800"}, "holds half a character (a lone surrogate) in its question"),
    ({"answer": "\udfff"}, "holds half a character (a lone surrogate) in its answer"),
    ({"solution": "\ud800"}, "holds half a character (a lone surrogate) in its solution"),
    ({"id": "\ud800"}, "holds half a character (a lone surrogate) in its id"),
    ({"answer": float("inf")}, "has no answer that is text or a finite number"),
    ({"answer": float("-inf")}, "has no answer that is text or a finite number"),
    ({"answer": float("nan")}, "has no answer that is text or a finite number"),
    ({"answer": None}, "has no answer that is text or a finite number"),
    ({"answer": "  "}, "has no answer that is text or a finite number"),
    ({"answer": ["3"]}, "has no answer that is text, but a list"),
    ({"question": {"text": "?"}}, "has no question that is text, but a dict"),
    ({"question": None}, "has no question that is text"),
    ({"question": "What is <|image_pad|>?"}, "says <|image_pad|>, which stands for a picture, in its question"),
    ({"question": "<|vision_start|>?"}, "says <|vision_start|>, which stands for a picture, in its question"),
    ({"solution": "See <|video_pad|>."}, "says <|video_pad|>, which stands for a picture, in its solution"),
    ({"question": "<image> or <image>?"}, "says <image> 2 times and has 1 pictures"),
    ({"question": "<image>?", "image": None}, "says <image> 1 times and has 0 pictures"),
    # Where a picture is
    ({"image": "absent.png"}, "absent.png: no such file"),
    ({"image": "nul\0.png"}, "nul\\x00.png: no such file"),
    ({"image": "\ud800.png"}, "\\ud800.png: no such file"),
    ({"image": "."}, ".: no such file"),
    ({"image": "x" * 300 + ".png"}, "no such file"),
    ({"image": "fifo"}, "fifo: no such file"),
    ({"image": "/dev/zero"}, "/dev/zero: no such file"),
    ({"image": "../secret.png"}, "../secret.png lies outside the data's folder; allow_outside=true reads it"),
    ({"image": "link.png"}, "link.png lies outside the data's folder"),
    ({"image": "https://example.org/a.png"}, "https://example.org/a.png is a URL, which is not fetched: download it"),
    ({"image": "s3://bucket/a.png"}, "is a URL, which is not fetched"),
    ({"image": "data:image/png,abc"}, "a data URL that is not in base64"),
    ({"image": "data:image/png;base64,####"}, "base64 that cannot be read"),
    ({"image": {"bytes": None, "path": None}}, "it is NoneType"),
    ({"image": 7}, "it is int"),
    ({"images": ["a.png", None]}, "it is NoneType"),
    ({"images": [["a.png"]]}, "it is list"),
    # What a picture is
    ({"image": "long.png"}, "2 x 900 pixels: over 200 times as long as wide"),
    ({"image": "cut.png"}, "its picture does not open"),
    ({"image": "words.png"}, "no picture in a known format"),
    ({"image": "page.eps"}, "no picture in a known format"),
    ({"image": "empty.png"}, "empty"),
    ({"image": "bomb.png"}, "over 178 million pixels; make it smaller"),
    ({"images": ["large.png"] * 200}, "200 pictures of 28800 million pixels in all"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), BAD)
def test_a_bad_row_is_named_and_left_out_only_if_asked(folder: Path, change: Row, says: str) -> None:
    row = {**GOOD, "id": "bad", **change}
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        list(read_rows(data(folder, GOOD, row, GOOD), 0, []))
    named = "\\ud800" if change.get("id") else "bad"
    said = str(error.value)
    assert said.startswith(f"row {named} of {folder}/rows.jsonl")
    assert says in said
    assert said.endswith("mend it, or set data.skip_bad_rows=true")
    assert said.isprintable(), "one line, and nothing that a terminal obeys"
    bad: list[str] = []
    kept = list(read_rows(data(folder, GOOD, row, GOOD, skip_bad_rows=True), 0, bad))
    assert ([row["id"] for row in kept], bad) == (["good", "good"], [said])
    assert time.monotonic() - start < FOUND_S


def test_a_column_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"^row 1 of [^\n]+ has no question: its columns are gold, prompt; say which with "
    ):
        list(read_rows(data(folder, {"prompt": "?", "gold": "3"}), 0, []))


def shown(folder: Path, cell: Any, **more: Any) -> list[Picture]:
    (row,) = read_rows(data(folder, {**GOOD, "images": cell}, **more), 0, [])
    return [Picture(image) for image in row["images"]]


WRITTEN: list[Callable[[Path], Any]] = [
    lambda folder: "a.png",
    lambda folder: ["./a.png"],
    lambda folder: str(folder / "a.png"),
    lambda folder: f"file://{folder}/a.png",
    lambda folder: base64.b64encode(png()).decode(),
    lambda folder: f"data:image/png;base64,{base64.b64encode(png()).decode()}",
]


@pytest.mark.parametrize("cell", WRITTEN)
def test_a_picture_may_be_written_in_many_ways(folder: Path, cell: Callable[[Path], Any]) -> None:
    assert [picture.content() for picture in shown(folder, cell(folder))] == [png()]


def test_pictures_outside_are_read_if_asked(folder: Path) -> None:
    for cell in ("../secret.png", "link.png", str(folder.parent / "secret.png")):
        assert [picture.content() for picture in shown(folder, cell, allow_outside=True)] == [png()]


@pytest.mark.parametrize("none", [None, [], ""])
def test_no_picture_is_no_picture_however_it_is_written(folder: Path, none: Any) -> None:
    rows = list(read_rows(data(folder, {**GOOD, "image": none}, {**GOOD, "image": none, "images": none}), 0, []))
    assert [row["images"] for row in rows] == [[], []]


def test_a_grey_a_transparent_and_a_coloured_picture_share_a_row(folder: Path) -> None:
    cells = [png(mode="L"), png(mode="RGBA"), png()]
    coded = [base64.b64encode(cell).decode() for cell in cells]
    found = shown(folder, coded)
    assert [picture.header()[0] for picture in found] == ["RGB"] * 3
    assert found[1].open().getpixel((0, 0)) == (255, 255, 255)
    assert found[2].content() == cells[2], "as it was stored"


def test_144_megapixels_are_stored_small_enough_for_any_processor(folder: Path) -> None:
    (row,) = read_rows(data(folder, {**GOOD, "image": "large.png"}), 0, [])
    assert row["sizes"] == [(5792, 5792)]
    assert Picture(row["images"][0]).header() == ("RGB", 5792**2)


TEXTS = st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.lists(st.text(), max_size=2))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({"question": TEXTS, "answer": TEXTS, "image": TEXTS, "id": TEXTS}), max_size=3))
def test_whatever_a_row_holds_it_is_a_row_or_one_line(folder: Path, rows: list[Row]) -> None:
    bad: list[str] = []
    good = list(read_rows(data(folder, *rows, skip_bad_rows=True), 0, bad))
    assert len(good) + len(bad) == len(rows)
    assert all(line.isprintable() for line in bad)
    for row in good:
        f"{row['question']} {row['answer']} {row['id']}".encode()
