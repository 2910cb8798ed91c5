"""Rows as they are stored: local files and folders, the splits that a folder holds, and what their bytes are."""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eval.benches import BENCHES
from eval.core.errors import UserError
from eval.grading.score import Row

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz")
_SHARD = re.compile(r"[-_.]?\d+(?:-of-\d+(?:-[0-9a-f]{16})?)?$")


class Raw(NamedTuple):
    """A row as stored, and where it stands; relative picture paths start at `folder`."""

    row: Row
    where: str
    folder: Path


def local_rows(bench: str, path: Path, split: str | None, text_only: bool) -> Iterator[Raw]:
    """The rows of a bench at a path; `text_only` leaves parquet's pictures in the file. Raises UserError."""
    for file in files(bench, path, split):
        for n, row in enumerate(_read(file, text_only), 1):
            yield Raw(row, f"{file} row {n}", file.parent)


def fingerprint(bench: str, path: Path, split: str | None) -> str:
    """What the data files hold."""
    digest = hashlib.sha256()
    for file in files(bench, path, split):
        with _readable(file), file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:16]


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turns whatever reading a damaged or forbidden file raises into one line."""
    try:
        yield
    except (OSError, ValueError, EOFError, zlib.error, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{file}: not readable as {_suffix(file)[1:]} ({reason[:160]}); mend the file") from error


def files(bench: str, path: Path, split: str | None) -> list[Path]:
    """The data files of a bench at a path: the file itself, or those of one split among the first kind in a folder.

    A file that is named outright is the split that is asked for, whatever its name.
    """
    try:
        if path.is_file():
            if not path.name.endswith(SUFFIXES):
                raise UserError(f"{path}: no data file; give one of {', '.join(SUFFIXES)}")
            return [path]
        if not path.is_dir():
            raise UserError(f"--data {path}: no such file or folder; give hub, mini or a local path")
        folder = path / bench if (path / bench).is_dir() else path
        for suffix in SUFFIXES:
            if found := sorted(f for f in folder.rglob(f"*{suffix}") if f.is_file()):
                return _of_split(bench, folder, found, split)
    except OSError as error:
        raise UserError(f"--data {path}: cannot be read ({error.strerror}); check its permissions") from error
    raise UserError(f"{folder}: holds no data file; give a folder with one of {', '.join(SUFFIXES)}")


def _of_split(bench: str, folder: Path, found: list[Path], split: str | None) -> list[Path]:
    """The files named after the split; those of a folder that holds one split only may have any name."""
    held: dict[str, list[Path]] = {}
    for file in found:
        held.setdefault(split_of(file), []).append(file)
    wanted = split or BENCHES[bench].split
    if wanted in held:
        return held[wanted]
    if split is None and len(held) == 1:
        return found
    raise UserError(
        f"{folder}: holds no split {wanted}; it holds {', '.join(held)}: name one with "
        f"--set eval.splits.{bench}=<split>, or give one file"
    )


def split_of(file: Path) -> str:
    """The split that a file's name names: `test-00000-of-00003.parquet` -> `test`."""
    return _SHARD.sub("", file.name.removesuffix(_suffix(file)))


def _suffix(file: Path) -> str:
    return next(suffix for suffix in SUFFIXES if file.name.endswith(suffix))


def _read(file: Path, text_only: bool) -> Iterator[Row]:
    """The rows of one file; raises UserError if it is not what its name says."""
    with _readable(file):
        if file.suffix == ".parquet":
            yield from _parquet(file, text_only)
            return
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")
        rows = _lines(text) if _suffix(file).startswith(".jsonl") else json.loads(text)
    if isinstance(rows, dict) and rows and all(isinstance(row, dict) for row in rows.values()):
        rows = list(rows.values())  # MathVista's official file is an object of rows by their ids
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{file}: holds no list of rows; each row must be a JSON object")
    yield from rows


def _lines(text: str) -> list[Any]:
    rows = []
    for n, line in enumerate(text.split("\n"), 1):  # a JSON string may hold the other line breaks of splitlines()
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"line {n}: {error}") from error
    return rows


def _parquet(file: Path, text_only: bool) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as table:
        columns = [
            field.name for field in table.schema_arrow if not (text_only and _holds_pictures(field.type, pyarrow))
        ]
        for batch in table.iter_batches(batch_size=64, columns=columns):
            yield from batch.to_pylist()


def _holds_pictures(kind: Any, pyarrow: Any) -> bool:
    """Whether a column is of `{bytes, path}` or of lists of them, as the hub stores pictures."""
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        kind = kind.value_type
    return pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
