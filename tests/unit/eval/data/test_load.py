import base64
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from eval.benches import BENCHES
from eval.core.errors import UserError
from eval.data.load import doc_hash, load, load_text
from eval.data.sources import edition, fingerprint
from tests.support.paths import ROOT, SHARED

RECORDED = SHARED / "bench-data"
Row = dict[str, Any]


def encoded(mode: str = "RGB", kind: str = "PNG", colour: Any = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 6), colour).save(buffer, kind)
    return buffer.getvalue()


def mathvision_row(n: int | str, **other: Any) -> Row:
    row = {
        "id": str(n),
        "question": "How many?\n<image1>",
        "options": [],
        "answer": "3",
        "level": 1,
        "subject": "counting",
    }
    return {**row, "image": f"images/{n}.png", **other}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[list[Row]], Path]:
    """Writes rows as json lines with a picture for each of ids 1 to 4; returns the file."""
    (tmp_path / "images").mkdir()
    for n in range(1, 5):
        (tmp_path / "images" / f"{n}.png").write_bytes(encoded())

    def write(rows: list[Row]) -> Path:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write


@pytest.mark.parametrize(
    ("bench", "n"), [("mmmu", 60), ("mathvista", 60), ("mathvision", 60), ("zerobench", 60), ("wemath", 68)]
)
def test_mini_rows_load_with_one_slot_per_picture(bench: str, n: int) -> None:
    rows = load(bench, "mini").rows
    assert len(rows) == n
    for row in rows:
        assert BENCHES[bench].prompt(row).count("<image>") == len(BENCHES[bench].shown(row)) >= 1
    assert len({doc_hash(bench, row) for row in rows}) == n


def test_json_lines_gz_json_and_parquet_hold_the_same_rows(folder: Callable[[list[Row]], Path]) -> None:
    rows = [mathvision_row(1), mathvision_row(2, answer="4")]
    file = folder(rows)
    hashes = [doc_hash("mathvision", row) for row in load("mathvision", str(file)).rows]
    packed, whole, table = (file.with_name(name) for name in ("a.jsonl.gz", "b.json", "c.parquet"))
    packed.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    whole.write_text(json.dumps(rows))
    inline = [{**row, "decoded_image": {"bytes": encoded(), "path": "x.png"}} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(inline), table)
    for other in (packed, whole):
        assert [doc_hash("mathvision", row) for row in load("mathvision", str(other)).rows] == hashes
    loaded = load("mathvision", str(table)).rows
    assert [row["decoded_image"].open().getpixel((0, 0)) for row in loaded] == [(255, 0, 0)] * 2
    assert BENCHES["mathvision"].shown(loaded[0])[0].open().size == (8, 6)


def shard(folder: Path, name: str, answer: str) -> None:
    row = {**mathvision_row(1, answer=answer), "decoded_image": {"bytes": encoded(), "path": None}}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), folder / f"{name}.parquet")


def test_a_folder_prefers_its_bench_and_its_split(tmp_path: Path) -> None:
    place = tmp_path / "mathvision" / "data"
    place.mkdir(parents=True)
    for split, answer in (("test", "3"), ("testmini", "4")):
        shard(place, f"{split}-00000-of-00001-0123456789abcdef", answer)
    (tmp_path / "mathvision" / "notes.json").write_text("[]")

    def answers(split: str | None) -> list[str]:
        return [row["answer"] for row in load("mathvision", str(tmp_path), split=split).rows]

    assert answers(None) == answers("test") == ["3"]
    assert answers("testmini") == ["4"]
    assert fingerprint("mathvision", str(tmp_path), "testmini") != fingerprint("mathvision", str(tmp_path))
    with pytest.raises(UserError, match=r"^[^\n]+no split dev; it holds test, testmini: name one with [^\n]+$"):
        answers("dev")
    (place / "test-00000-of-00001-0123456789abcdef.parquet").unlink()
    assert answers(None) == ["4"]  # the only split that is there
    shard(place, "train-00000-of-00001", "5")
    with pytest.raises(UserError, match="no split test; it holds testmini, train"):
        answers(None)


def test_a_named_file_is_the_split_asked_for_and_may_hide_its_answers(folder: Callable[[list[Row]], Path]) -> None:
    hidden = str(folder([mathvision_row(1, answer=""), mathvision_row(2, answer="?")]))
    assert [row["answer"] for row in load("mathvision", hidden, split="private").rows] == [None, None]
    for split in (None, "test"):  # the bench's own split has answers
        with pytest.raises(UserError, match=r"row 1: has no answer \(1 more rows are bad\)"):
            load("mathvision", hidden, split=split)
    some = str(folder([mathvision_row(1, answer=""), mathvision_row(2)]))
    with pytest.raises(UserError, match="row 1: has no answer;"):
        load("mathvision", some, split="private")


def test_mini_has_zerobenchs_main_questions_and_no_other_split() -> None:
    rows = load("zerobench", "mini", split="zerobench").rows
    assert len(rows) == len({BENCHES["zerobench"].cluster(row) for row in rows}) == 20
    with pytest.raises(UserError, match=r"no split testmini; it has zerobench_subquestions, zerobench$"):
        load("zerobench", "mini", split="testmini")
    with pytest.raises(UserError, match=r"no split test; it has testmini$"):
        load("mathvista", "mini", split="test")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (mathvision_row(2, image="images/9.png"), "has no image"),
        (mathvision_row(2, image=None), "has no image"),
        (mathvision_row(2, answer=None), "has no answer"),
        (mathvision_row(2, subject=None), "has no column subject"),
        (mathvision_row(2, image="broken.png"), "broken.png: no picture in a known format)"),
        (mathvision_row(2, image="cut.png"), "cut.png: "),
        (mathvision_row(2, image="empty.png"), "empty.png: empty)"),
        (mathvision_row(2, image="cut.jpg"), "has a picture that cannot be used"),
        (mathvision_row(2, image="iVBOR" * 999), "has no image: base64 that cannot be read"),
        (mathvision_row(2, image="fifo"), "has no image: fifo: no such file"),
        (mathvision_row(2, image="https://example.org/2.png"), "is a URL, which is not fetched"),
        (mathvision_row(2, image="../secret.png"), "lies outside the data's folder; allow_outside=true reads it"),
        (mathvision_row(2, image="long.png"), "2 x 900 pixels: over 200 times as long as wide"),
        (mathvision_row(2, question="What is <|image_pad|>? <image1>"), "says <|image_pad|> in its text"),
        (mathvision_row(2, question="What is <image>? <image1>"), "says <image> in its text"),
        (mathvision_row(2, question="half \ud800"), "holds half a character (a lone surrogate) in column question"),
        (mathvision_row("\ud800", image="images/2.png"), "holds half a character (a lone surrogate) in column id"),
        (mathvision_row(2, answer=float("inf")), "has no answer"),
        (mathvision_row(2, answer=" "), "has no answer"),
        (mathvision_row(2, options="A, B"), "has options that are no list"),
        (mathvision_row(1), "its id 1 occurs twice"),
    ],
)
def test_a_bad_row_is_named_and_left_out_only_if_asked(
    folder: Callable[[list[Row]], Path], bad: Row, says: str
) -> None:
    file = folder([mathvision_row(1), bad, mathvision_row(3)])
    (file.parent / "broken.png").write_bytes(b"no picture")
    (file.parent / "cut.png").write_bytes(encoded()[:-30])
    (file.parent / "cut.jpg").write_bytes(encoded(kind="JPEG")[:300])
    (file.parent / "empty.png").write_bytes(b"")
    Image.new("RGB", (2, 900)).save(file.parent / "long.png")
    os.mkfifo(file.parent / "fifo")
    (file.parents[1] / "secret.png").write_bytes(encoded())
    with pytest.raises(UserError) as error:
        load("mathvision", str(file))
    message = str(error.value)
    assert f"{file} row 2" in message
    assert says in message
    assert "--skip-bad-rows" in message
    assert "\n" not in message
    kept = load("mathvision", str(file), skip_bad=True)
    assert ([row["id"] for row in kept.rows], kept.skipped) == (["1", "3"], 1)


def test_a_picture_may_be_written_in_many_ways_or_lie_outside_if_asked(folder: Callable[[list[Row]], Path]) -> None:
    code = base64.b64encode(encoded()).decode()
    outside = folder([]).parents[1] / "outside.png"
    outside.write_bytes(encoded())
    cells = [code, f"data:image/png;base64,{code}", f"file://{folder([]).parent}/images/1.png", str(outside)]
    file = folder([mathvision_row(n, image=cell) for n, cell in enumerate(cells)])
    rows = load("mathvision", str(file), allow_outside=True).rows
    assert [BENCHES["mathvision"].shown(row)[0].content() for row in rows] == [encoded()] * 4
    with pytest.raises(UserError, match=r"row 4: has no image: .*outside\.png lies outside the data's folder"):
        load("mathvision", str(file))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.jsonl", None, "no such file or folder"),
        ("rows.tsv", b"index\timage", "no data file; give one of .parquet, .jsonl"),
        ("rows.jsonl", b'{"id": "1"}\n{no json', r"not readable as jsonl \(line 2: .*mend the file"),
        ("rows.jsonl", b"\xff\xfe\x00", "not readable as jsonl"),
        ("rows.jsonl.gz", b"no gzip", "not readable as jsonl.gz"),
        ("rows.jsonl.gz", gzip.compress(b"{}" * 999, mtime=0)[:-20], "not readable as jsonl.gz"),
        ("rows.parquet", b"x", "not readable as parquet"),
        ("rows.json", b"3", "holds no list of rows"),
        ("rows.jsonl", b"[1]", "holds no list of rows"),
        ("rows.jsonl", b"", "no usable row"),
        ("folder/notes.txt", b"x", "folder: holds no data file"),
    ],
)
def test_unusable_files_are_one_line(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if content is not None:
        file.write_bytes(content)
    place = file.parent if "folder" in name else file
    with pytest.raises(UserError, match=rf"^[^\n]*{says}[^\n]*$"):
        load("mathvision", str(place))


def test_a_forbidden_file_is_one_line(folder: Callable[[list[Row]], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder([mathvision_row(1)])

    def forbidden(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(file))

    for reader in ("open", "read_bytes"):  # who runs the tests may be allowed everything
        monkeypatch.setattr(Path, reader, forbidden)
    for read in (load, load_text, fingerprint):
        with pytest.raises(UserError, match=r"^[^\n]+not readable as jsonl [^\n]+Permission denied[^\n]+$"):
            read("mathvision", str(file))


def test_the_command_line_refuses_bad_data_before_any_model_loads(folder: Callable[[list[Row]], Path]) -> None:
    file = folder([mathvision_row(1), mathvision_row(1)])
    code = (
        "import sys, cli\ntry: cli.main()\n"
        "except SystemExit as stop: print(stop.code, 'torch' in sys.modules, file=sys.stdout)"
    )
    out = file.parent / "out"
    words = ["eval", "--bench", "mathvision", "--model", "embedded", "--data", str(file), "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "2 False\n", done.stderr
    assert done.stderr == f"error: {file} row 2: its id 1 occurs twice; mend the data or pass --skip-bad-rows\n"
    assert not out.exists()


def wemath_row(problem: str, key: str) -> Row:
    return {"ID": problem, "key": key, "question": "?", "option": "A. 1", "answer": "A", "image_path": "images/1.png"}


def test_wemath_keeps_whole_problems(folder: Callable[[list[Row]], Path]) -> None:
    keys = ("2steps_1", "2steps_2", "2steps_multi")
    rows = [wemath_row(problem, key) for key in keys for problem in ("a", "b", "c")]
    file = folder(rows)
    assert {row["ID"] for row in load("wemath", str(file), limit=7).rows} == {"a", "b"}
    assert len(load("wemath", str(file), limit=1).rows) == 3
    file = folder(rows[:-1])
    with pytest.raises(UserError, match="problem c lacks 2steps_multi"):
        load("wemath", str(file))
    kept = load("wemath", str(file), skip_bad=True)
    assert ({row["ID"] for row in kept.rows}, kept.skipped) == ({"a", "b"}, 2)


def test_mmmu_shows_a_picture_once_per_slot_and_needs_all_of_them(folder: Callable[[list[Row]], Path]) -> None:
    row = {
        "id": "validation_Math_1", "question": "<image 1> or <image 2>?", "options": "['<image 2>', 'b']",
        "answer": "A",
        "question_type": "multiple-choice", "image_1": "images/1.png", "image_2": "images/2.png",
    }  # fmt: skip
    (loaded,) = load("mmmu", str(folder([row]))).rows
    assert BENCHES["mmmu"].shown(loaded) == [loaded["image_1"], loaded["image_2"], loaded["image_2"]]
    with pytest.raises(UserError, match="names an image"):
        load("mmmu", str(folder([{**row, "image_2": None}])))


def test_only_what_changes_the_data_changes_its_fingerprint(folder: Callable[[list[Row]], Path]) -> None:
    file = folder([mathvision_row(1)])
    before = fingerprint("mathvision", str(file))
    assert before == fingerprint("mathvision", str(file))
    folder([mathvision_row(1, answer="4")])
    assert fingerprint("mathvision", str(file)) != before
    assert [edition(d) for d in ("hub", "mini", str(file))] == ["official", "mini", "local"]


@pytest.mark.parametrize(
    ("bench", "n", "pictures"),
    [("mmmu", 8, 12), ("mathvista", 5, 5), ("mathvision", 24, 24), ("zerobench", 12, 12), ("wemath", 20, 20)],
)
def test_real_questions_load_with_a_slot_for_each_picture(bench: str, n: int, pictures: int) -> None:
    file = RECORDED / bench / "images" / "questions.jsonl"
    if not file.is_file():
        pytest.skip("needs ../shared/bench-data")
    rows = load(bench, str(file)).rows
    assert len(rows) == n
    shown = [BENCHES[bench].shown(row) for row in rows]
    assert [BENCHES[bench].prompt(row).count("<image>") for row in rows] == [len(seen) for seen in shown]
    assert sum(map(len, shown)) == pictures
    assert all(picture.open(10_000).mode == "RGB" for seen in shown for picture in seen)
