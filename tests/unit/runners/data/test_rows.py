"""Training data: drawn, and stored rows with everything that can be wrong with them."""

import gzip
import io
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from eval.benches.drawn import COLOURS, Group, Problem, Scene, drawn_problem, in_two_pictures, in_words, question_text
from eval.core.errors import UserError
from eval.core.images import Picture
from runners.data.prompts import content
from runners.data.rows import read_rows
from runners.run.config import Settings, resolve
from tests.support.training import training_rows


def _file(folder: Path, *rows: dict[str, Any]) -> str:
    Image.new("RGB", (40, 30), (255, 0, 0)).save(folder / "a.png")
    Image.new("RGB", (20, 50), (0, 0, 255)).save(folder / "b.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"data.source={folder / 'rows.jsonl'}"


def _settings(*overrides: str, rows: int = 2) -> Settings:
    size = ("train.steps=1", f"train.prompts={rows}", "train.micro_batch=8")
    return resolve("cpu", "grpo", 0, [*size, *overrides])


def _jpeg(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(stream, "jpeg")
    return stream.getvalue()


def _bytes_of(rows: Any) -> list[list[dict[str, Any]]]:
    """What the table holds of each row's pictures: encoded bytes or a path."""
    stored: list[list[dict[str, Any]]] = rows.with_format("arrow")[:]["images"].to_pylist()
    return stored


GOOD = {"id": "g", "question": "How many?", "image": "a.png", "answer": "3", "solution": "I see 3."}


def test_drawn_rows_are_the_same_for_every_method_and_differ_by_seed() -> None:
    size = ("train.steps=1", "train.prompts=2", "train.micro_batch=16")
    a = training_rows(resolve("cpu", "grpo", 0, [*size]))
    b = training_rows(resolve("cpu", "rlsd", 0, [*size]))
    c = training_rows(resolve("cpu", "rlsd", 1, [*size]))
    assert a["id"] == b["id"]
    assert [row["images"][0].tobytes() for row in a] == [row["images"][0].tobytes() for row in b]
    assert a["prompt"] == b["prompt"] != c["prompt"]


@pytest.mark.parametrize("source", ["synthetic", "synthetic-text", "synthetic-pairs"])
def test_drawn_sources_ask_the_same_problems_with_one_no_and_two_pictures(source: str) -> None:
    rng = Random("training-0")
    problems = [drawn_problem(rng) for _ in range(4)]
    rows = training_rows(_settings(f"data.source={source}", rows=4))
    assert rows["answer"] == [problem.answer for problem in problems]
    pictures = {"synthetic": 1, "synthetic-text": 0, "synthetic-pairs": 2}[source]
    for row, problem in zip(rows, problems, strict=True):
        text = row["prompt"][0]["content"]
        assert question_text(problem) in text
        parts = content(text, len(row["images"]))
        assert sum(part["type"] == "image" for part in parts) == len(row["images"]) == pictures
    if source == "synthetic":
        assert rows[3]["images"][0].tobytes() == problems[3].scene.picture().tobytes()


def test_a_scene_in_words_and_in_two_pictures_by_hand() -> None:
    groups = (Group(3, "red", "circle"), Group(2, "blue", "square"), Group(1, "green", "triangle"))
    centres = (((8, 8), (12, 12), (4, 4)), ((40, 8), (44, 12)), ((8, 40),))
    problem = Problem(Scene(groups, centres), "total", groups, (2, 3), ("5", "6"))
    asked = "How many red, blue and green shapes are there together?\n(A) 5\n(B) 6"
    assert in_words(problem) == f"There are 3 red circles, 2 blue squares and 1 green triangle. {asked}"
    for first in (1, 2):
        text, (left, right) = in_two_pictures(problem, first)
        assert text == f"Look at <image> and <image> together. {asked}"
        for i, group in enumerate(groups):
            shown, other = (left, right) if i < first else (right, left)
            x, y = centres[i][0]
            assert shown.getpixel((x, y)) == COLOURS[group.colour]
            assert COLOURS[group.colour] not in {colour for _, colour in other.getcolors()}


def test_local_rows(tmp_path: Path) -> None:
    rows = training_rows(_settings(_file(tmp_path, GOOD)))
    assert len(rows) == 2, "a short set is repeated until every step has its prompts"
    assert rows[0]["answer"] == "3"
    assert rows[0]["solution"] == "I see 3."
    assert rows[0]["images"][0].size == (40, 30)
    assert rows[0]["images"][0].mode == "RGB"
    assert rows[0]["prompt"][0]["content"].startswith("How many?")


def test_rows_in_the_schema_of_mmfinereason(tmp_path: Path) -> None:
    """Its columns, rows made up: answers of several kinds, `<image>` in the question, a trace of another model."""
    red, blue = _jpeg((255, 0, 0)), _jpeg((0, 0, 255))
    trace = "qwen3vl_235b_thinking_response"
    rest = {"source": "made up", "ori_question": "?", "original_answer": "?", "caption": "c", "pass_rate": 0.0}
    rest |= {"is_consistent": True, "consistency_analysis": "long"}
    rows = [
        {"id": 11, "question": "<image>Which is it?\nA. x\nB. y", "answer": "B", "image": {"bytes": red, "path": None}},
        {"id": 12, "question": "Find the area.<image>", "answer": "2\\sqrt{3}", "image": {"bytes": blue, "path": None}},
        {"id": 13, "question": "What colour?", "answer": "dark blue", "image": None},
    ]
    stored = [
        {**rest, **row, trace: f"<think>{i}</think><answer>{row['answer']}</answer>"} for i, row in enumerate(rows)
    ]
    folder = tmp_path / "data"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(stored), folder / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text("not data")
    mapped = f"data.columns.solution={trace}"
    for source in (folder / "train-00000-of-00001.parquet", tmp_path):
        found = training_rows(_settings(f"data.source={source}", mapped, rows=4))
        assert found["id"][:3] == ["11", "12", "13"]
        assert found["id"][3] in found["id"][:3]
        assert found["answer"][:3] == ["B", "2\\sqrt{3}", "dark blue"]
        assert found["solution"][1] == "<think>1</think><answer>2\\sqrt{3}</answer>"
        assert found["prompt"][0][0]["content"].startswith("<image>Which is it?\nA. x\nB. y\n")
        assert [len(row["images"]) for row in found][:3] == [1, 1, 0]
        assert [row[0]["bytes"] for row in _bytes_of(found)[:2]] == [red, blue], "encoded as they came"


def test_a_column_is_looked_up_as_theirs_and_else_as_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = {**GOOD, "trace": "a long trace", "solution": "not this one"}
    rows = training_rows(_settings(_file(tmp_path, theirs, GOOD), "data.columns.solution=trace"))
    assert rows["solution"] == ["a long trace", "I see 3."]
    assert "solution" not in capsys.readouterr().out
    training_rows(_settings(_file(tmp_path, {**GOOD, "solution": None}), "data.columns.solution=typo"))
    assert "has a solution" in capsys.readouterr().out, "a misspelt column would silently change what teachers know"
    with pytest.raises(UserError, match=r"data\.columns names 'solutoin'"):
        training_rows(_settings(_file(tmp_path, GOOD), "data.columns.solutoin=trace"))


def test_answers_of_mixed_types_in_one_file(tmp_path: Path) -> None:
    answers = ["C", 12, 0.5, True, "\\frac{1}{2}", "blue", 10**20, -3.0, "<image>"]
    expected = ["C", "12", "0.5", "True", "\\frac{1}{2}", "blue", "100000000000000000000", "-3.0", "image"]
    source = _file(tmp_path, *({**GOOD, "id": i, "answer": answer} for i, answer in enumerate(answers)))
    rows = training_rows(_settings(source, rows=9))
    assert rows["answer"] == expected
    assert rows["id"] == [str(i) for i in range(9)]


@pytest.mark.parametrize("pictures", [{"image": None}, {"images": []}, {"images": None}, {}])
def test_rows_without_a_picture(tmp_path: Path, pictures: dict[str, Any]) -> None:
    row = {key: value for key, value in GOOD.items() if key != "image"} | pictures
    rows = training_rows(_settings(_file(tmp_path, row)))
    assert rows["images"] == [[], []]


def test_several_pictures_keep_their_order(tmp_path: Path) -> None:
    row = {**GOOD, "question": "Is <image> taller than <image>?", "images": ["b.png", "a.png"]}
    more = {**GOOD, "question": "Is <image> taller than the other?", "images": ["a.png", "b.png"]}
    rows = training_rows(_settings(_file(tmp_path, row, more)))
    assert [[image.size for image in row["images"]] for row in rows] == [[(20, 50), (40, 30)], [(40, 30), (20, 50)]]
    assert [part["type"] for part in content(rows[0]["prompt"][0]["content"], 2)] == [
        "text", "image", "text", "image", "text",
    ]  # fmt: skip


def test_picture_cells_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (elsewhere / "a.png").write_bytes((tmp_path / "b.png").read_bytes())  # must not be taken for the row's
    green = _jpeg((0, 255, 0))
    cells = [{"bytes": green, "path": "a.png"}, {"bytes": None, "path": "a.png"}]
    table = pyarrow.Table.from_pylist([{**GOOD, "image": cell} for cell in cells])
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    rows = training_rows(_settings(f"data.source={os.path.relpath(tmp_path / 'rows.parquet')}"))
    assert _bytes_of(rows)[0][0]["bytes"] == green
    assert _bytes_of(rows)[1][0] == {"bytes": None, "path": str(tmp_path / "a.png")}, "files stay where they are"
    assert [row["images"][0].size for row in rows] == [(64, 48), (40, 30)]


def test_transparent_and_grey_pictures_become_rgb_on_white(tmp_path: Path) -> None:
    source = _file(tmp_path, {**GOOD, "image": "clear.png"}, {**GOOD, "image": "grey.png"})
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("L", (4, 4), 77).save(tmp_path / "grey.png")
    rows = training_rows(_settings(source))
    assert [row["images"][0].mode for row in rows] == ["RGB", "RGB"]
    assert [row["images"][0].getpixel((0, 0)) for row in rows] == [(255, 255, 255), (77, 77, 77)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "row bad of .* has no answer"),
        ({"answer": "  "}, "row bad of .* has no answer"),
        ({"answer": float("nan")}, "row bad of .* has no answer"),
        ({"answer": ["3"]}, "row bad of .* has no answer"),
        ({"image": "broken.png"}, "row bad of .*picture does not open"),
        ({"image": "absent.png"}, "row bad of .*picture does not open"),
        ({"image": 7}, "row bad of .*picture does not open"),
        ({"image": {"bytes": None, "path": None}}, "row bad of .*picture does not open"),
        ({"images": ["a.png", None]}, "row bad of .*picture does not open"),
        ({"question": None}, "row bad of .* has no question"),
        ({"question": "<image>?", "image": None}, "row bad of .* says <image> 1 times and has 0 pictures"),
        ({"question": "<image><image>?"}, "row bad of .* says <image> 2 times and has 1 pictures"),
    ],
)
def test_a_bad_row_is_named_and_left_out_only_if_asked(
    tmp_path: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _file(tmp_path, GOOD, {**GOOD, "id": "bad", **change})
    with pytest.raises(UserError, match=message) as error:
        training_rows(_settings(source))
    assert "\n" not in str(error.value)
    rows = training_rows(_settings(source, "data.skip_bad_rows=true"))
    assert set(rows["id"]) == {"g"}
    assert "1 rows of " in capsys.readouterr().out


def test_a_row_without_an_id_is_named_by_its_place(tmp_path: Path) -> None:
    row = {**GOOD, "id": None}
    with pytest.raises(UserError, match="row 2 of "):
        training_rows(_settings(_file(tmp_path, row, {**row, "answer": None})))


def test_only_the_rows_that_are_needed_are_read(tmp_path: Path) -> None:
    source = _file(tmp_path, GOOD, GOOD, {**GOOD, "answer": None})
    assert len(training_rows(_settings(source))) == 2
    with pytest.raises(UserError, match="no answer"):
        training_rows(_settings(source, rows=4))


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    source = _file(tmp_path, GOOD)
    before = training_rows(_settings(source))
    _file(tmp_path, {**GOOD, "answer": "4"})
    assert before["answer"] == ["3", "3"]
    assert training_rows(_settings(source))["answer"] == ["4", "4"]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "list.json", "rows.jsonl.gz", "rows.json.gz"])
def test_json_in_lines_or_as_a_list(tmp_path: Path, name: str) -> None:
    rows = [{**GOOD, "image": None, "answer": i} for i in (1, 2)]
    text = (
        json.dumps(rows, indent=1) if name.startswith("list") else "\n".join(json.dumps(row) for row in rows) + "\n\n"
    )
    (tmp_path / name).write_bytes(gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode())
    assert training_rows(_settings(f"data.source={tmp_path / name}"))["answer"] == ["1", "2"]


def test_a_hub_set_keeps_its_pictures_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    red = _jpeg((255, 0, 0))
    columns = {"id": ["a", "b"], "question": ["<image>?", "How many?"], "answer": ["1", "2"], "extra": [0, 0]}
    features = {"id": "string", "question": "string", "answer": "string", "extra": "int64"}
    hub = datasets.Dataset.from_dict(
        {**columns, "image": [{"bytes": red, "path": "1.jpg"}, None]},
        features=datasets.Features({**{k: datasets.Value(v) for k, v in features.items()}, "image": datasets.Image()}),
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, split: hub)
    rows = training_rows(_settings("data.source=someone/some-set"))
    assert rows["answer"] == ["1", "2"]
    assert [[cell["bytes"] for cell in row] for row in _bytes_of(rows)] == [[red], []]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.txt", "x", "no data file; give one of .parquet"),
        ("torn.jsonl", '{"question": ', r"torn\.jsonl: not readable as jsonl \(line 1"),
        ("words.jsonl", '"a"\n', r"words\.jsonl: holds no list of rows \(row 1 is str\)"),
        ("fake.parquet", "x", r"fake\.parquet: not readable as parquet"),
        ("fake.jsonl.gz", "x", r"fake\.jsonl\.gz: not readable as jsonl\.gz"),
        ("empty.jsonl", "", "no usable row"),
    ],
)
def test_files_that_are_no_data(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as error:
        training_rows(_settings(f"data.source={tmp_path / name}"))
    assert "\n" not in str(error.value)


def test_nothing_usable_and_nothing_there(tmp_path: Path) -> None:
    source = _file(tmp_path, {**GOOD, "answer": None})
    with pytest.raises(UserError, match="no usable row"):
        training_rows(_settings(source, "data.skip_bad_rows=true"))
    with pytest.raises(UserError, match="no such file"):
        training_rows(_settings(f"data.source={tmp_path / 'absent.jsonl'}"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no data file"):
        training_rows(_settings(f"data.source={tmp_path / 'empty'}"))


def test_drawn_rows_never_end() -> None:
    rows = read_rows(_settings("data.source=synthetic-text").data, 3, [])
    ids = [next(rows)["id"] for _ in range(3)]
    assert ids == ["drawn_text_3_0", "drawn_text_3_1", "drawn_text_3_2"]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture_is_shown_upright_as_in_an_evaluation(tmp_path: Path, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: a picture of 40 x 30 stands 30 wide
    source = _file(tmp_path, {**GOOD, "image": "turned.jpg"})
    Image.new(mode, (40, 30), 77 if mode == "L" else (9, 9, 9)).save(tmp_path / "turned.jpg", exif=exif)
    (shown,) = training_rows(_settings(source, rows=1))[0]["images"]
    assert (shown.mode, shown.size) == ("RGB", (30, 40)) == ("RGB", Picture(tmp_path / "turned.jpg").open().size)
