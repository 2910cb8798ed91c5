"""Files are whole whatever happens: a full disk, a refused write, a kill at any point, lines torn at any byte."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.core import files
from eval.core.errors import UserError

OLD = {"a.json": "old a", "b.jsonl": "old b"}


def there(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    for name, text in OLD.items():
        (tmp_path / name).write_text(text)
    return tmp_path


class Killed(BaseException):
    """As a kill: nothing that expects an error catches it."""


# --- replacing ----------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    files.write_json(path, {"text": "ü\ud800\u2028", "n": [1, None]}, durable=True)
    assert files.read_object(path) == {"text": "ü\ud800\u2028", "n": [1, None]}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]
    files.write(path, "\ud800")  # a lone surrogate of some data set: shown, and no end of the run
    assert path.read_text() == "\\ud800"
    with pytest.raises(ValueError, match="nan"):
        files.write_json(path, {"score": float("nan")})


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Denied"), Killed()])
def test_a_writer_that_ends_in_the_middle_leaves_the_old_files_and_no_litter(
    old: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException, durable: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path if step == "write_bytes" else os, step, fail)
        with pytest.raises((UserError, Killed)) as caught:
            files.write_all({old / name: "new" for name in OLD}, durable)
    assert there(old) == OLD
    if isinstance(error, PermissionError):
        assert str(caught.value) == f"{old / 'a.json'}: cannot be written (Denied); choose another --out"
    elif isinstance(error, OSError):
        assert str(caught.value) == f"the disk is full at {old / 'a.json'}: free space and give the same command again"
    files.write_all({old / name: "new" for name in OLD}, durable)
    assert there(old) == dict.fromkeys(OLD, "new")


def test_the_second_of_two_files_that_cannot_be_written_keeps_the_first(old: Path) -> None:
    """/dev/full fails every write as a full disk does."""
    assert Path("/dev/full").is_char_device()
    (old / ".b.jsonl.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match="the disk is full at"):
        files.write_all({old / name: "new" for name in OLD})
    assert there(old) == OLD


def test_what_a_killed_writer_left_is_overwritten(old: Path) -> None:
    (old / ".a.json.tmp").write_text("half of something, and longer than what comes")
    files.write(old / "a.json", "new")
    assert there(old) == {**OLD, "a.json": "new"}


def test_a_durable_write_reaches_the_disk_before_it_has_its_name(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def replaced(half: Path, path: Path) -> None:
        done.append(f"rename to {path.name}")
        replace(half, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    files.write(old / "a.json", "new", durable=True)
    assert done == ["sync .a.json.tmp", "rename to a.json", f"sync {old.name}"]
    files.write(old / "a.json", "newer")
    assert done[3:] == ["rename to a.json"]


@pytest.mark.parametrize("at", range(4))
def test_a_folder_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Killed while it is filled, before either rename, and not at all."""
    target, replace, renames = tmp_path / "report", os.replace, [1]

    def fails(*paths: Any) -> None:
        renames[0] += 1
        if renames[0] == at + 1:
            raise Killed
        replace(*paths)

    target.mkdir()
    (target / "old").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        try:
            with files.replaced_folder(target) as fresh:
                (fresh / "new").touch()
                if at == 0:
                    raise Killed
        except Killed:
            pass
    assert [path.name for path in target.iterdir()] == (["new"] if at == 3 else ["old"])
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_was_killed_between_its_renames_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".report.old").mkdir()
    (tmp_path / ".report.tmp").mkdir()
    with pytest.raises(Killed), files.replaced_folder(tmp_path / "report"):
        raise Killed
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_takes_no_file_is_one_line(tmp_path: Path) -> None:
    with files.writable(tmp_path / "new"):
        pass
    with pytest.raises(UserError, match=r"^no$"), files.writable(tmp_path / "refused" / "out"):
        raise UserError("no")
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^[^\n]+out: cannot be written \(Not a directory\); choose another --out$"):
        files.writable(tmp_path / "file" / "out").__enter__()


# --- JSON lines ---------------------------------------------------------------------------------------------------

OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers() | st.none(), max_size=3))


@settings(deadline=None)
@given(OBJECTS, OBJECTS, st.floats(0, 1))
def test_lines_torn_at_any_byte_lose_what_is_torn_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], more: list[dict[str, Any]], share: float
) -> None:
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    files.append_lines(path, rows)
    content = path.read_bytes()
    cut = content[: round(share * len(content))]
    path.write_bytes(cut)
    ends = [len("".join(json.dumps(row) + "\n" for row in rows[:n])) for n in range(1, len(rows) + 1)]
    whole = sum(end - 1 <= len(cut) for end in ends)  # one that lacks nothing but its line break is whole
    torn = len(cut) not in (0, *ends, *(end - 1 for end in ends))
    assert files.read_lines(path) == (rows[:whole], 0, torn)
    files.append_lines(path, more)
    assert files.read_lines(path) == (rows[:whole] + more, 0, False)


def test_lines_that_hold_no_object_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert files.read_lines(path) == ([], 0, False)
    deep = b"[" * 100_000
    path.write_bytes(b'{"a": 1}\n\n7\n{"a": \n\xff\xfe\x00\n' + deep + b'\n{"a": "\xe2\x80\xa8"}\n{"a"')
    assert files.read_lines(path) == ([{"a": 1}, {"a": "\u2028"}], 4, True)
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        files.read_lines(tmp_path)


def failing_after(n: int, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Any]) -> None:
    """Streams that take `n` bytes and then nothing, as a disk that fills."""

    class Stream:
        def __init__(self, stream: Any) -> None:
            self.stream, self.left = stream, n

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

        def __enter__(self) -> "Stream":
            return self

        def __exit__(self, *_: Any) -> None:
            self.stream.close()

        def write(self, content: memoryview) -> int:
            if not self.left:
                raise OSError(28, "No space left on device")
            part = min(self.left, len(content))
            self.left -= part
            return int(self.stream.write(content[:part]))

    monkeypatch.setattr(Path, "open", lambda self, *a, **k: Stream(opened(self, *a, **k)))


@pytest.mark.parametrize("n", [0, 1, 8, 9, 15])
def test_a_disk_that_fills_while_lines_are_appended_keeps_no_part_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    path = tmp_path / "rows.jsonl"
    files.append_lines(path, [{"a": 1}])
    with monkeypatch.context() as patch:
        failing_after(n, patch, Path.open)
        with pytest.raises(UserError, match="the disk is full at"):
            files.append_lines(path, [{"b": 2}, {"c": 3}])
    assert path.read_text() == '{"a": 1}\n'


def test_appending_to_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"^the disk is full at [^\n]+: free space and give the same command again$"):
        files.append_lines(tmp_path / "rows.jsonl", [{"a": 1}])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a"', b"\xff", b"[" * 100_000, None])
def test_a_file_that_holds_no_object_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    assert files.read_object(path) is None
    assert files.read_object(tmp_path) is None


# --- hashes -------------------------------------------------------------------------------------------------------


def test_hashes_are_the_first_half_of_sha256(tmp_path: Path) -> None:
    """Stored results carry them, so they must not change: written out once more, from hashlib alone."""
    (tmp_path / "b.txt").write_bytes(b"x" * (3 << 20))
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "c.md").write_text("no part of it")
    assert files.text_hash("ü") == hashlib.sha256(b"\xc3\xbc").hexdigest()[:16]
    whole = b"x" * (3 << 20) + b'{"a": 1}'
    assert files.content_hash([tmp_path / "b.txt", tmp_path / "a.json"]) == hashlib.sha256(whole).hexdigest()[:16]
    parts = b'a.json 8{"a": 1}b.txt 3145728' + b"x" * (3 << 20)
    assert (
        files.files_hash([*tmp_path.glob("*.txt"), *tmp_path.glob("*.json")]) == hashlib.sha256(parts).hexdigest()[:16]
    )


def test_of_a_huge_file_64_chunks_are_hashed(tmp_path: Path) -> None:
    huge = tmp_path / "w.safetensors"
    with huge.open("wb") as stream:
        stream.truncate(128 << 20)  # sparse: every second MiB is read
    before = files.files_hash(tmp_path.glob("*.safetensors"))
    for at, seen in ((1 << 20, False), (2 << 20, True)):
        with huge.open("r+b") as stream:
            stream.seek(at)
            stream.write(b"1")
        assert (files.files_hash(tmp_path.glob("*.safetensors")) != before) == seen
