"""Training rows on the disk: read once, shared, and whole or not there whatever happens."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.core.errors import UserError
from runners.data import cache
from runners.data.cache import stored_parts
from runners.run.config import Settings, resolve
from tests.support.training import processor, training_rows

fork = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "ROWS", 4)
    return tmp_path / "cache"


def lines(folder: Path, n: int, bad: tuple[int, ...] = ()) -> Path:
    for i in range(n):
        Image.new("RGB", (20 + i, 30)).save(folder / f"{i}.png")
    rows = [
        {
            "id": i,
            "question": "?",
            "answer": None if i in bad else i,
            "image": f"{i}.png",
            "solution": "s" if i else None,
        }
        for i in range(n)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def asked(source: Path, needed: int, *more: str) -> Settings:
    size = ("train.steps=1", f"train.prompts={needed}", "train.micro_batch=8")
    return resolve("cpu", "grpo", 0, [*size, f"data.source={source}", *more])


def written(own_cache: Path) -> dict[str, tuple[int, int]]:
    """The parts, each with what changes when it is written."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(own_cache.rglob("*.arrow"))}


def test_rows_are_read_once_and_only_as_many_as_are_needed(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = lines(tmp_path, 11)
    first = training_rows(asked(source, 6))["id"]
    parts = written(own_cache)
    assert list(parts) == ["00000.arrow", "00001.arrow"]
    with monkeypatch.context() as context:
        context.setattr(cache, "checked_rows", lambda *_: pytest.fail("read again"))
        assert training_rows(asked(source, 6))["id"] == first == [str(i) for i in range(6)]
        assert training_rows(asked(source, 3, "train.learning_rate=0"))["id"] == first[:3]
    assert training_rows(asked(source, 10))["id"] == [str(i) for i in range(10)]
    assert {name: part for name, part in written(own_cache).items() if name in parts} == parts, "it goes on behind"


def test_every_row_stays_what_it_is(tmp_path: Path) -> None:
    rows = training_rows(asked(lines(tmp_path, 11), 11))
    assert [row["images"][0].size for row in rows] == [(20 + i, 30) for i in range(11)]
    assert rows["solution"] == [None, *["s"] * 10]


def test_other_data_and_other_processors_have_parts_of_their_own(tmp_path: Path, own_cache: Path) -> None:
    source = lines(tmp_path, 4)
    for settings in (asked(source, 4), asked(source, 4, "data.columns.answer=id")):
        stored_parts(settings, processor(), 4)
    lines(tmp_path, 5)
    stored_parts(asked(source, 4), processor(), 4)
    assert len({path.parent for path in own_cache.rglob("*.arrow")}) == 3


def test_a_changed_picture_is_read_anew_and_what_follows(tmp_path: Path) -> None:
    settings = asked(lines(tmp_path, 11), 11)
    training_rows(settings)
    Image.new("RGB", (99, 30)).save(tmp_path / "5.png")
    assert training_rows(settings)[5]["images"][0].size == (99, 30)
    (tmp_path / "5.png").unlink()
    with pytest.raises(UserError, match=r"^row 5 of [^\n]+5\.png: no such file"):
        training_rows(settings)
    assert training_rows(asked(tmp_path / "rows.jsonl", 4))["id"] == list("0123")


def test_bad_rows_are_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = lines(tmp_path, 9, bad=(2, 7))
    for _ in range(2):
        rows = training_rows(asked(source, 7, "data.skip_bad_rows=true"))
        assert rows["id"] == list("0134568")
        assert capsys.readouterr().out.startswith(f"2 rows of {source} left out, the first: row 2 of ")
    with pytest.raises(UserError, match=r"^row 2 of [^\n]+ has no answer"):
        training_rows(asked(source, 7))


@pytest.mark.parametrize("damage", [b"", b"no arrow", None])
def test_a_damaged_part_is_written_again(tmp_path: Path, own_cache: Path, damage: bytes | None) -> None:
    settings = asked(lines(tmp_path, 11), 11)
    before = list(training_rows(settings)["id"])
    kept, path = sorted(own_cache.rglob("*.arrow"))[:2]
    whole = path.read_bytes()
    other = tmp_path / "other"  # and not in place: rows of this process are mapped there
    other.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    os.replace(other, path)
    first = written(own_cache)[kept.name]
    assert list(training_rows(settings)["id"]) == before
    assert path.read_bytes() == whole
    assert written(own_cache)[kept.name] == first


def _slowly(settings: Settings, pause: float) -> None:
    stored = cache._stored

    def slow(*args: Any) -> Any:
        time.sleep(pause)
        return stored(*args)

    cache._stored = slow
    training_rows(settings)


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_writer_leaves_whole_parts_and_the_next_goes_on(tmp_path: Path, own_cache: Path, after: int) -> None:
    settings = asked(lines(tmp_path, 11), 11)
    writer = fork.Process(target=_slowly, args=(settings, 0.05))
    writer.start()
    while len(list(own_cache.rglob("*.json"))) < after:
        time.sleep(0.002)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    first = dict(list(written(own_cache).items())[:after])
    assert training_rows(settings)["id"] == [str(i) for i in range(11)]
    assert {name: part for name, part in written(own_cache).items() if name in first} == first
    assert [path.name for path in own_cache.rglob(".*")] == [], "nothing half-written stays"


def test_of_two_processes_one_writes_and_both_read(tmp_path: Path, own_cache: Path) -> None:
    settings = asked(lines(tmp_path, 11), 11)
    pair = [fork.Process(target=_slowly, args=(settings, 0.01)) for _ in range(2)]
    for process in pair:
        process.start()
    parts: dict[str, tuple[int, int]] = {}
    while any(process.is_alive() for process in pair):
        now = written(own_cache)
        assert all(now[name] == part for name, part in parts.items()), "written twice"
        parts = now
        time.sleep(0.01)
    assert [process.exitcode for process in pair] == [0, 0]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written \([^\n]+\); set HF_DATASETS_CACHE to a folder that can$"):
        training_rows(asked(lines(tmp_path, 1), 1))
