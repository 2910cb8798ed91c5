import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from eval import data
from eval.grading import BENCHES
from eval.pictures import Picture, flatten
from eval.schema import PICTURES
from eval.tasks.mathvision import utils as mathvision
from eval.tasks.mmmu import utils as mmmu
from eval.tasks.zerobench import utils as zerobench
from runners.errors import UserError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "bench-data"
Row = dict[str, Any]


def encoded(mode: str = "RGB", kind: str = "PNG", colour: Any = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 6), colour).save(buffer, kind)
    return buffer.getvalue()


def mathvision_row(n: int, **other: Any) -> Row:
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
    import importlib

    utils = importlib.import_module(f"eval.tasks.{bench}.utils")
    rows = data.load(bench, "mini").rows
    assert len(rows) == n
    for row in rows:
        assert utils.doc_to_text(row).count("<image>") == len(utils.doc_to_image(row)) >= 1
    assert len({data.doc_hash(bench, row) for row in rows}) == n


def test_json_lines_gz_json_and_parquet_hold_the_same_rows(folder: Callable[[list[Row]], Path]) -> None:
    rows = [mathvision_row(1), mathvision_row(2, answer="4")]
    file = folder(rows)
    hashes = [data.doc_hash("mathvision", row) for row in data.load("mathvision", str(file)).rows]
    packed, whole, table = (file.with_name(name) for name in ("a.jsonl.gz", "b.json", "c.parquet"))
    packed.write_bytes(gzip.compress(file.read_bytes()))
    whole.write_text(json.dumps(rows))
    inline = [{**row, "decoded_image": {"bytes": encoded(), "path": "x.png"}} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(inline), table)
    for other in (packed, whole):
        assert [data.doc_hash("mathvision", row) for row in data.load("mathvision", str(other)).rows] == hashes
    loaded = data.load("mathvision", str(table)).rows
    assert [row["decoded_image"].open().getpixel((0, 0)) for row in loaded] == [(255, 0, 0)] * 2
    assert mathvision.doc_to_picture(loaded[0])[0].size == (8, 6)


def test_a_folder_prefers_its_bench_and_its_split(tmp_path: Path) -> None:
    place = tmp_path / "mathvision" / "data"
    place.mkdir(parents=True)
    for split, answer in (("test", "3"), ("testmini", "4")):
        row = {**mathvision_row(1, answer=answer), "decoded_image": {"bytes": encoded(), "path": None}}
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), place / f"{split}-00000-of-00001.parquet")
    (tmp_path / "mathvision" / "notes.json").write_text("[]")
    (place / "testmini-00000-of-00001.parquet").rename(place / "mini-00000-of-00001.parquet")
    assert [row["answer"] for row in data.load("mathvision", str(tmp_path)).rows] == ["3"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (mathvision_row(2, image="images/9.png"), "has no image"),
        (mathvision_row(2, image=None), "has no image"),
        (mathvision_row(2, answer=None), "has no answer"),
        (mathvision_row(2, subject=None), "has no column subject"),
        (mathvision_row(2, image="broken.png"), "corrupt picture"),
        (mathvision_row(2, image="cut.png"), "corrupt picture"),
        (mathvision_row(1), "occurs twice"),
    ],
)
def test_a_bad_row_is_named_and_left_out_only_if_asked(
    folder: Callable[[list[Row]], Path], bad: Row, says: str
) -> None:
    file = folder([mathvision_row(1), bad, mathvision_row(3)])
    (file.parent / "broken.png").write_bytes(b"no picture")
    (file.parent / "cut.png").write_bytes(encoded()[:-30])
    with pytest.raises(UserError) as error:
        data.load("mathvision", str(file))
    message = str(error.value)
    assert f"{file} row 2" in message
    assert says in message
    assert "--skip-bad-rows" in message
    assert "\n" not in message
    kept = data.load("mathvision", str(file), skip_bad=True)
    assert ([row["id"] for row in kept.rows], kept.skipped) == (["1", "3"], 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.jsonl", None),
        ("rows.txt", "x"),
        ("rows.jsonl", "{no json"),
        ("rows.parquet", "x"),
        ("rows.json", "3"),
        ("rows.jsonl", ""),
    ],
)
def test_unusable_files_are_one_line(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=r"^[^\n]+$"):
        data.load("mathvision", str(tmp_path / name))


def test_no_hub_is_one_line_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach the hub\nsecond line")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"^mathvista: cannot load AI4Math/MathVista [^\n]+--data mini[^\n]+$"):
        data.load("mathvista", "hub")


def test_hub_rows_come_from_every_config_with_encoded_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def serve(name: str, config: str | None, split: str) -> Any:
        asked.append((name, config, split))
        row = {"question_id": config or "1_1", "question_text": "?", "question_answer": "3"}
        features = {column: datasets.Value("string") for column in row}
        pictures = {"question_images_decoded": [{"bytes": encoded("P"), "path": None}]}
        return datasets.Dataset.from_list(
            [row | pictures],
            features=datasets.Features({**features, "question_images_decoded": datasets.List(datasets.Image())}),
        )

    monkeypatch.setattr(datasets, "load_dataset", serve)
    rows = data.load("zerobench", "hub").rows
    assert asked == [("jonathan-roberts1/zerobench", None, "zerobench_subquestions")]
    assert isinstance(rows[0]["question_images_decoded"][0].source, bytes)
    assert zerobench.doc_to_picture(rows[0])[0].mode == "RGB"


def wemath_row(problem: str, key: str) -> Row:
    return {"ID": problem, "key": key, "question": "?", "option": "A. 1", "answer": "A", "image_path": "images/1.png"}


def test_wemath_keeps_whole_problems(folder: Callable[[list[Row]], Path]) -> None:
    keys = ("2steps_1", "2steps_2", "2steps_multi")
    rows = [wemath_row(problem, key) for key in keys for problem in ("a", "b", "c")]
    file = folder(rows)
    assert {row["ID"] for row in data.load("wemath", str(file), limit=7).rows} == {"a", "b"}
    assert len(data.load("wemath", str(file), limit=1).rows) == 3
    file = folder(rows[:-1])
    with pytest.raises(UserError, match="problem c lacks 2steps_multi"):
        data.load("wemath", str(file))
    kept = data.load("wemath", str(file), skip_bad=True)
    assert ({row["ID"] for row in kept.rows}, kept.skipped) == ({"a", "b"}, 2)


def test_mmmu_shows_a_picture_once_per_slot_and_needs_all_of_them(folder: Callable[[list[Row]], Path]) -> None:
    row = {
        "id": "validation_Math_1", "question": "<image 1> or <image 2>?", "options": "['<image 2>', 'b']",
        "answer": "A",
        "question_type": "multiple-choice", "image_1": "images/1.png", "image_2": "images/2.png",
    }  # fmt: skip
    (loaded,) = data.load("mmmu", str(folder([row]))).rows
    assert mmmu.doc_to_image(loaded) == [loaded["image_1"], loaded["image_2"], loaded["image_2"]]
    with pytest.raises(UserError, match="names an image"):
        data.load("mmmu", str(folder([{**row, "image_2": None}])))


def test_only_what_changes_the_data_changes_its_fingerprint(folder: Callable[[list[Row]], Path]) -> None:
    file = folder([mathvision_row(1)])
    before = data.fingerprint("mathvision", str(file))
    assert before == data.fingerprint("mathvision", str(file))
    folder([mathvision_row(1, answer="4")])
    assert data.fingerprint("mathvision", str(file)) != before
    assert [data.edition(d) for d in ("hub", "mini", str(file))] == ["official", "mini", "local"]


def test_transparent_and_palette_pictures_lie_on_white() -> None:
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert flatten(clear).getpixel((0, 0)) == (255, 255, 255)
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert flatten(palette).getpixel((0, 0)) == (255, 255, 255)
    assert flatten(Image.new("LA", (2, 2), (7, 255))).getpixel((0, 0)) == (7, 7, 7)
    assert flatten(Image.new("I;16", (2, 2), 65535)).getpixel((0, 0)) == (255, 255, 255)


def test_content_decides_the_format_and_max_pixels_the_size() -> None:
    picture = Picture(encoded("L", kind="JPEG", colour=7))
    assert picture.open().getpixel((0, 0)) == (7, 7, 7)
    assert picture.open(max_pixels=12).size == (4, 3)
    assert picture.open(max_pixels=48).size == (8, 6)


@pytest.mark.parametrize(
    ("bench", "n"), [("mmmu", 8), ("mathvista", 5), ("mathvision", 24), ("zerobench", 12), ("wemath", 20)]
)
def test_real_questions_and_pictures_load(bench: str, n: int) -> None:
    file = SHARED / bench / "images" / "questions.jsonl"
    if not file.is_file():
        pytest.skip("needs ../shared/bench-data")
    rows = data.load(bench, str(file)).rows
    assert len(rows) == n
    assert all(BENCHES[bench].row_id(row) for row in rows)
    for row in rows:
        cells = [row[column] for column in PICTURES[bench]]
        assert any(isinstance(cell, Picture) or (isinstance(cell, list) and cell) for cell in cells)
