"""Tables of rows as they are stored (parquet, JSON lines, JSON, a set of the hub), for benches and training data alike.

Rows come one after the other and their pictures stay encoded: a set of 123,000 rows has 7 GB of them, and a hundred
times that once decoded. pyarrow and datasets are imported where a table needs them, and only there.
"""

import errno
import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eval.core import files
from eval.core.errors import UserError

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz")
BATCH = 16  # rows that are held at once
PAGE = 1 << 20  # bytes that are read at once of a column of parquet
_SHARD = re.compile(r"[-_.]?\d+(?:-of-\d+(?:-[0-9a-f]{16})?)?$")
Row = dict[str, Any]


class Raw(NamedTuple):
    """A row as stored, and where it stands; relative picture paths start at `folder`."""

    row: Row
    where: str
    folder: Path
    held: tuple[str, ...] = ()  # all columns of its table, where not all were read

    @property
    def columns(self) -> list[str]:
        """The columns that the table has, for a message."""
        return sorted(self.held or map(str, self.row))


# --- files --------------------------------------------------------------------------------------------------------


def data_files(path: Path) -> list[Path]:
    """The file itself, or all of the first kind that a folder holds; raises UserError where there is none."""
    try:
        if path.is_file():
            if not path.name.endswith(SUFFIXES):
                raise UserError(f"{path}: no data file; give one of {', '.join(SUFFIXES)}")
            return [path]
        for suffix in SUFFIXES:
            if found := sorted(f for f in path.rglob(f"*{suffix}") if f.is_file()):
                return found
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    raise UserError(f"{path}: holds no data file; give a folder with one of {', '.join(SUFFIXES)}")


def training_files(source: str, split: str) -> list[Path] | None:
    """The data files of training data: a file, or a folder's, of one split where any is named after it. None for the
    name of a set on the hub. Raises UserError where a path holds nothing."""
    path = Path(source)
    try:
        no_id = (
            source.endswith(SUFFIXES) or source.startswith((".", "/", "~")) or not source or not source.isprintable()
        )
        if no_id and not (source and path.exists()):
            raise UserError(f"{source!r}: no such file or folder; set data.source to a file, a hub id, or synthetic")
        if not path.exists():
            return None
    except (OSError, ValueError) as error:  # too long, or no name at all
        raise UserError(f"data.source={source[:80]!r}: is no path ({str(error)[:80]})") from None
    found = data_files(path)
    return [file for file in found if file.name.startswith(split)] or found


def rows_in(paths: Iterable[Path]) -> int:
    """How many rows the files hold; of parquet the footer says it."""
    return sum(_parquet_rows(path) if path.suffix == ".parquet" else sum(1 for _ in _json(path)) for path in paths)


def split_of(file: Path) -> str:
    """The split that a file's name names: `test-00000-of-00003.parquet` -> `test`."""
    return _SHARD.sub("", file.name.removesuffix(_suffix(file)))


def read_files(paths: Iterable[Path], columns: Collection[str] | None = None, pictures: bool = True) -> Iterator[Raw]:
    """The rows of all files; of parquet only `columns` are read, and no pictures where these are not wanted.

    Raises UserError naming the file, of JSON lines the line, where one is not what its name says.
    """
    for path in paths:
        if path.suffix == ".parquet":
            yield from _parquet(path, columns, pictures)
            continue
        for n, row in enumerate(_json(path), 1):
            if not isinstance(row, dict):
                said = f"{path}: holds no list of rows (row {n} is {type(row).__name__})"
                raise UserError(f"{said}; each row must be a JSON object")
            yield Raw(row, f"{path} row {n}", path.parent)


def fingerprint(paths: Iterable[Path]) -> str:
    """What the data files hold."""
    paths = list(paths)
    with _readable(paths[0]):
        return files.content_hash(paths)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns whatever reading a damaged or forbidden file raises into one line."""
    try:
        yield
    except (OSError, ValueError, EOFError, zlib.error, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not readable as {_suffix(path)[1:]} ({reason[:160]}); mend the file") from error


def _suffix(file: Path) -> str:
    return next(suffix for suffix in SUFFIXES if file.name.endswith(suffix))


def _json(path: Path) -> Iterator[Any]:
    """pyarrow's own reader would refuse a column of numbers and words."""
    with _readable(path), path.open("rb") as stored:
        unpacked: Any = gzip.GzipFile(fileobj=stored) if path.suffix == ".gz" else stored
        text = io.TextIOWrapper(unpacked, "utf-8-sig", newline="\n")  # a string may hold the other line breaks
        yield from _lines(text) if _suffix(path).startswith(".jsonl") else _whole(text.read())


def _lines(text: Iterable[str]) -> Iterator[Any]:
    for n, line in enumerate(text, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {n}: {error}") from error


def _whole(text: str) -> Iterable[Any]:
    """A list of rows, one object of them by their ids (MathVista's official file), or lines under another name."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _lines(text.split("\n"))
    if isinstance(found, dict) and found and all(isinstance(row, dict) for row in found.values()):
        return found.values()
    return found if isinstance(found, list) else [found]


def _parquet(path: Path, columns: Collection[str] | None, pictures: bool) -> Iterator[Raw]:
    """A page of each column at a time: some files are one row group of many GB, which pyarrow would read whole."""
    import pyarrow.parquet

    with _readable(path), pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=PAGE) as table:
        held = tuple(table.schema_arrow.names)
        batches = table.iter_batches(BATCH, columns=_wanted(table.schema_arrow, columns, pictures))
        for n, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
            yield Raw(row, f"{path} row {n}", path.parent, held)


def _parquet_rows(path: Path) -> int:
    import pyarrow.parquet

    with _readable(path):
        return int(pyarrow.parquet.read_metadata(path).num_rows)


def _wanted(schema: Any, columns: Collection[str] | None, pictures: bool) -> list[str]:
    return [
        field.name
        for field in schema
        if (columns is None or field.name in columns) and (pictures or not _holds_pictures(field.type))
    ]


def _holds_pictures(kind: Any) -> bool:
    """Whether a column is of `{bytes, path}` or of lists of them, as the hub stores pictures."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def write_parquet(path: Path, table: Any) -> None:
    """An Arrow table; raises UserError where the write is refused, and leaves nothing half-written."""
    import pyarrow.parquet

    with files.replaced(path) as [half]:
        pyarrow.parquet.write_table(table, half)


# --- the hub ------------------------------------------------------------------------------------------------------


def read_hub(
    name: str,
    split: str,
    elsewhere: str,
    config: str | None = None,
    columns: Collection[str] | None = None,
    needed: Collection[str] = (),
    pictures: bool = True,
) -> Iterator[Raw]:
    """The rows of a set on the hub; `columns` and `pictures` as in `read_files`.

    Raises UserError with the mend where the set cannot be had or lacks one of the `needed` columns; `elsewhere` says
    what else the user can give.
    """
    shown = f"{name} {config}" if config else name
    table = hub_table(name, split, elsewhere, config)
    held = tuple(table.column_names)
    if missing := sorted(set(needed) - set(table.column_names)):
        said = f"{shown} has no column {missing[0]} (it has {', '.join(held)})"
        raise UserError(f"{said}; the set has changed, {elsewhere}")
    table = table.select_columns(_wanted(table.features.arrow_schema, columns, pictures)).with_format("arrow")
    rows = (row for batch in table.iter(BATCH) for row in batch.to_pylist())  # as Arrow, pictures stay encoded
    for n, row in enumerate(rows, 1):
        yield Raw(row, f"{shown} {split} row {n}", Path(), held)


def hub_table(name: str, split: str, elsewhere: str, config: str | None = None) -> Any:
    """A set of the hub as `datasets` has it, memory-mapped; raises UserError with the mend where it cannot be had."""
    import datasets

    try:
        return datasets.load_dataset(name, config, split=split)
    except Exception as error:  # `datasets` lets through whatever its network and file layers raise
        raise UserError(f"{f'{name} {config}' if config else name}: {_mend(name, elsewhere, error)}") from error


def _mend(name: str, elsewhere: str, error: Exception) -> str:
    """What went wrong and what mends it, in one line; `datasets` hides the cause below exceptions of its own."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    causes = _causes(error)
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if any(isinstance(e, GatedRepoError) or "is a gated dataset" in str(e) for e in causes):
        return (
            f"the set is gated; ask for access on https://huggingface.co/datasets/{name}, log in with "
            f"`hf auth login` or set HF_TOKEN, or {elsewhere}"
        )
    if any(isinstance(e, DatasetNotFoundError | RepositoryNotFoundError) for e in causes):
        return f"not found on the hub ({said}); log in with `hf auth login` if it is private, or {elsewhere}"
    if any(isinstance(e, OfflineModeIsEnabled) or "OfflineModeIsEnabled" in str(e) for e in causes):
        return f"not in the cache, and HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set; unset it, or {elsewhere}"
    if any(getattr(e, "errno", None) == errno.ENOSPC or "Not enough disk space" in str(e) for e in causes):
        return f"the disk of the hub's cache is full ({said}); make room, or set HF_HOME to a larger disk"
    if any(str(e).startswith(("Unknown split", "Bad split")) for e in causes):
        return f"{said} Ask for one of these"
    if any(str(e).startswith(("BuilderConfig", "Config name is missing")) for e in causes):
        return f"the set's parts have changed ({said}); {elsewhere}"
    if any(isinstance(e, ConnectionError | TimeoutError) or _is_transport(e) for e in causes):
        return f"the hub cannot be reached ({said}); check the network, or {elsewhere}"
    return f"cannot be loaded ({said}); check the network and the cache, or {elsewhere}"


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_transport(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore", "requests", "urllib3")
