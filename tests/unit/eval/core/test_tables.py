"""Rows as they are stored, whoever reads them: which files, which columns, and what is wrong with them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.core import tables
from eval.core.errors import UserError
from tests.support.paths import ROOT

ROWS = [{"id": "a", "n": 1}, {"id": "\u2028\n", "n": None}]


def read(*paths: Path, **options: Any) -> list[dict[str, Any]]:
    return [raw.row for raw in tables.read_files(paths, **options)]


def stored(path: Path, rows: list[Any], as_lines: bool) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows) if as_lines else json.dumps(rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "as_lines"),
    [
        ("a.jsonl", True), ("a.jsonl.gz", True), ("a.json", False), ("a.json.gz", False),
        ("lines.json", True), ("lines.json.gz", True),
    ],
)  # fmt: skip
def test_json_in_every_dress_holds_the_same_rows(tmp_path: Path, name: str, as_lines: bool) -> None:
    assert read(stored(tmp_path / name, ROWS, as_lines)) == ROWS


def test_an_object_of_rows_a_single_row_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"1": ROWS[0], "2": ROWS[1]}))
    assert read(path) == ROWS
    path.write_text(json.dumps(ROWS[0]))
    assert read(path) == ROWS[:1]
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode())
    assert read(path) == ROWS


def test_rows_say_where_they_stand(tmp_path: Path) -> None:
    paths = [stored(tmp_path / name, ROWS, True) for name in ("a.jsonl", "b.jsonl")]
    where = [(raw.where, raw.folder) for raw in tables.read_files(paths)]
    assert where == [(f"{path} row {n}", tmp_path) for path in paths for n in (1, 2)]


def test_lines_are_read_one_at_a_time_and_a_bad_one_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1}\n\n{"id": \n')
    rows = tables.read_files([path])
    assert next(rows).row == {"id": 1}
    with pytest.raises(UserError, match=r"^[^\n]+a\.jsonl: not readable as jsonl \(line 3: [^\n]+\); mend the file$"):
        next(rows)


PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def table() -> pyarrow.Table:
    cells = {"shown": {"bytes": b"no picture", "path": None}, "several": [{"bytes": b"nor this", "path": None}]}
    schema = pyarrow.schema([("id", pyarrow.string()), ("shown", PICTURE), ("several", pyarrow.list_(PICTURE))])
    return pyarrow.Table.from_pylist([{"id": str(n), **cells} for n in range(40)], schema=schema)


def test_parquet_gives_the_columns_that_are_wanted_and_leaves_pictures_encoded(tmp_path: Path) -> None:
    tables.write_parquet(tmp_path / "new" / "a.parquet", table())
    path = tmp_path / "new" / "a.parquet"
    assert [row["id"] for row in read(path)] == [str(n) for n in range(40)]
    assert read(path)[7]["several"] == [{"bytes": b"nor this", "path": None}]
    assert read(path, pictures=False)[7] == {"id": "7"}
    assert read(path, columns={"shown", "absent"})[7] == {"shown": {"bytes": b"no picture", "path": None}}
    assert list(path.parent.iterdir()) == [path]


def test_a_row_of_one_huge_row_group_is_had_without_reading_it_whole(tmp_path: Path) -> None:
    cell = {"bytes": bytes(200_000), "path": None}
    path = tmp_path / "a.parquet"
    whole = pyarrow.Table.from_pylist([{"shown": cell, "id": n} for n in range(400)])
    pyarrow.parquet.write_table(
        whole, path, row_group_size=400, write_batch_size=16, use_dictionary=False, compression="none"
    )
    assert (path.stat().st_size, pyarrow.parquet.read_metadata(path).num_row_groups) > (80_000_000, 0)
    del whole
    before = pyarrow.total_allocated_bytes()
    rows = tables.read_files([path])
    assert [next(rows).row["id"] for _ in range(40)] == list(range(40))
    assert pyarrow.total_allocated_bytes() - before < 20_000_000


def test_rows_are_counted_and_training_files_found(tmp_path: Path) -> None:
    tables.write_parquet(tmp_path / "train-0.parquet", table())
    tables.write_parquet(tmp_path / "test-0.parquet", table())
    assert tables.training_files(str(tmp_path), "train") == [tmp_path / "train-0.parquet"]
    assert tables.rows_in(tables.training_files(str(tmp_path), "dev") or []) == 80
    assert tables.rows_in([stored(tmp_path / "a.jsonl", ROWS, True), stored(tmp_path / "b.json", ROWS, False)]) == 4
    assert tables.training_files("org/set", "train") is None
    for name in ("./absent", "absent.jsonl", "", "nul\0", "x" * 5000):
        with pytest.raises(UserError, match=r"no such file or folder|is no path"):
            tables.training_files(name, "train")


def test_the_hub_gives_what_parquet_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    features = {"id": datasets.Value("string"), "shown": datasets.Image(), "several": datasets.List(datasets.Image())}
    held = datasets.Dataset(table()).cast(datasets.Features(features))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: held)

    def hub(**options: Any) -> list[tables.Raw]:
        return list(tables.read_hub("org/set", "train", "use another", "part", **options))

    assert [raw.row for raw in hub()] == table().to_pylist()
    assert [raw.row for raw in hub(pictures=False)] == [{"id": str(n)} for n in range(40)]
    assert hub(columns={"id"})[39][:3] == ({"id": "39"}, "org/set part train row 40", Path())
    assert hub(columns={"id"})[0].columns == ["id", "several", "shown"]
    with pytest.raises(UserError, match=r"^org/set part has no column gold \(it has id, shown, several\); the set has"):
        hub(needed={"id", "gold"})


def test_a_full_disk_leaves_the_old_table(tmp_path: Path) -> None:
    tables.write_parquet(tmp_path / "a.parquet", table())
    before = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / ".a.parquet.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"^the disk is full at [^\n]+a\.parquet: free space and give the same command"):
        tables.write_parquet(tmp_path / "a.parquet", table())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_folder_gives_all_files_of_its_first_kind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no data file; give a folder with one of \.parquet, \.jsonl"):
        tables.data_files(tmp_path)
    for name in ("notes.json", "b/test-1.jsonl", "a.jsonl", "picture.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert tables.data_files(tmp_path) == [tmp_path / "a.jsonl", tmp_path / "b" / "test-1.jsonl"]
    assert tables.data_files(tmp_path / "notes.json") == [tmp_path / "notes.json"]
    with pytest.raises(UserError, match=r"picture\.png: no data file; give one of"):
        tables.data_files(tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test.jsonl.gz", "test"),
        ("test-00000-of-00003.parquet", "test"),
        ("testmini-00000-of-00001-0123456789abcdef.parquet", "testmini"),
        ("zerobench_subquestions-00000-of-00001.parquet", "zerobench_subquestions"),
        ("train_2.json", "train"),
        ("part.jsonl", "part"),
    ],
)
def test_a_files_name_names_its_split(name: str, split: str) -> None:
    assert tables.split_of(Path(name)) == split


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80), st.sampled_from(tables.SUFFIXES))
def test_whatever_a_file_holds_it_is_rows_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_bytes(content)
    said = ""
    try:
        assert all(isinstance(row, dict) for row in read(path))
    except UserError as error:
        said = str(error)
    assert not said or (said.startswith(f"{path}: ") and "\n" not in said)


def test_json_is_read_without_the_heavy_libraries(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.jsonl", ROWS, True)
    code = (
        "import sys; from pathlib import Path; from eval.core.tables import read_files;"
        "print(len(list(read_files([Path(sys.argv[1])]))), {'pyarrow', 'datasets', 'PIL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 set()\n", done.stderr
