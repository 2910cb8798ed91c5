"""Files, whole or not at all: every write of the program goes through here, and so does every tolerant reader.

What replaces a file is written beside it as `.<name>.tmp` and renamed: a reader sees the old or the new. The name is
fixed, so that the next writer overwrites what a killed one left; hence one process at a time writes a file.
A kill loses nothing that a call here has written. A power cut may, except for what is written as `durable`: that is on
the disk (fsync of file and folder) when the call returns. What a run's state hangs on is durable (run.json, settings,
a checkpoint's marker, and before it the checkpoint and the metrics so far); the rest is computed or asked again.
A refused write is a UserError in one line, and leaves no part of itself behind.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from eval.core.errors import UserError

Object = dict[str, Any]
CHUNK = 1 << 20  # bytes that are hashed at a time
CHUNKS_PER_FILE = 64


def write(path: Path, text: str, durable: bool = False) -> None:
    write_all({path: text}, durable)


def write_all(texts: Mapping[Path, str], durable: bool = False) -> None:
    """All of the files or, where one is refused, none. They take their places in order: the last says that all are."""
    with replaced(*texts, durable=durable) as halves:
        for half, text in zip(halves, texts.values(), strict=True):
            half.write_bytes(text.encode(errors="backslashreplace"))  # a lone surrogate must not cost the file


def write_json(path: Path, value: Any, durable: bool = False) -> None:
    write(path, json_text(value), durable)


def json_text(value: Any) -> str:
    """Raises ValueError for NaN and infinity, which other readers of JSON refuse."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


@contextmanager
def replaced(*paths: Path, durable: bool = False) -> Iterator[list[Path]]:
    """Temporary names to write to. They take the paths' places if the block ends well, else they are removed."""
    halves = [path.with_name(f".{path.name}.tmp") for path in paths]
    try:
        with told(paths[0]):
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            yield halves
            for path, half in zip(paths, halves, strict=True):
                if durable:
                    sync(half)
                os.replace(half, path)
                if durable:
                    sync(path.parent)
    finally:
        for half in halves:
            with suppress(OSError):
                half.unlink()


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """As `replaced`, for a whole folder. No rename overwrites the old one: it steps aside until the new one stands."""
    fresh, aside = target.with_name(f".{target.name}.tmp"), target.with_name(f".{target.name}.old")

    def settle() -> None:
        """Ends what a killed or failed swap began."""
        if aside.exists() and not target.exists():
            os.replace(aside, target)
        for left in (fresh, aside):
            shutil.rmtree(left, ignore_errors=True)

    with told(target):
        settle()
        try:
            fresh.mkdir(parents=True)
            yield fresh
            if target.exists():
                os.replace(target, aside)
            os.replace(fresh, target)
        finally:
            settle()


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Creates a folder; raises UserError where nothing can be written to it, before anything costly begins. Where what
    is inside is refused, no empty folder stays behind."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    try:
        yield
    except UserError:
        with suppress(OSError):  # something has been written
            for path in made:
                path.rmdir()
        raise


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system refuses of a write to `path`, in one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk is full at {path}: free space and give the same command again") from None
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


def sync(path: Path) -> None:
    """What was written to a file, or to the list of names of a folder, is on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot do it for a folder, and have nothing to lose there
            raise
    finally:
        os.close(descriptor)


# --- JSON lines ---------------------------------------------------------------------------------------------------


class Lines(NamedTuple):
    """The objects of a file of JSON lines. `damaged` counts whole lines that hold none; `torn`: the last one is cut."""

    rows: list[Object]
    damaged: int
    torn: bool


def read_lines(path: Path) -> Lines:
    """No lines where there is no file. A last line without its line break counts if it is whole but for that."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend its rights, or remove it") from None
    *ended, last = content.split(b"\n")  # and nowhere else: text may hold other line breaks
    rows = [_object(line) for line in ended if line.strip()]
    tail = _object(last)
    return Lines([row for row in [*rows, tail] if row is not None], rows.count(None), bool(last) and tail is None)


def lines_text(rows: Iterable[Object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def append_lines(path: Path, rows: Iterable[Object]) -> None:
    """Adds whole lines, behind what is whole; where the disk is full, no part of them stays."""
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what is written is there after a kill, and a full disk is met here and not on closing.
        with path.open("a+b", buffering=0) as stream:
            rest = memoryview(_mended(stream) + lines_text(rows).encode())
            before = stream.tell()
            try:
                while rest:
                    rest = rest[stream.write(rest) :]
            except OSError:
                with suppress(OSError):
                    stream.truncate(before)
                raise


def _mended(stream: BinaryIO) -> bytes:
    """Cuts a torn last line off; returns the line break that a whole one may lack. Leaves the stream at its end."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(end - 1, 0))
    if not end or stream.read(1) == b"\n":
        return b""
    stream.seek(0)
    last = stream.read().rpartition(b"\n")[2]
    if _object(last) is not None:
        return b"\n"
    stream.seek(stream.truncate(end - len(last)))
    return b""


def read_text(path: Path) -> str:
    """Of a file that is there, whatever is in it. Raises UserError where it cannot be read."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend its rights, or remove it") from None


def read_object(path: Path) -> Object | None:
    """The object in a JSON file; None where there is none: no file, torn, unreadable, or something else."""
    try:
        return _object(path.read_bytes())
    except OSError:
        return None


def _object(text: bytes) -> Object | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# --- what files hold ----------------------------------------------------------------------------------------------


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_hash(files: Iterable[Path]) -> str:
    """Of all bytes of the files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()[:16]


def files_hash(files: Iterable[Path]) -> str:
    """Of files in any order: names and sizes, small ones whole, of large ones 64 spread chunks."""
    digest = hashlib.sha256()
    for file in sorted(files):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for start in range(0, size, max(CHUNK, size // CHUNKS_PER_FILE)):
                stream.seek(start)
                digest.update(stream.read(CHUNK))
    return digest.hexdigest()[:16]
