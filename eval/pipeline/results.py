"""The files of an evaluation: identities, atomic writes, and what a stored result may stand for."""

import errno
import hashlib
import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from eval.core.errors import UserError

CHUNK = 1 << 20
CHUNKS_PER_FILE = 64


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def model_id(model: str) -> str:
    """Identifies a model by content: small files whole, of large ones 64 spread chunks; a hub id stands for itself."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".bin", ".json", ".jinja", ".txt")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        stride = max(CHUNK, size // CHUNKS_PER_FILE)
        with file.open("rb") as stream:
            for start in range(0, size, stride):
                stream.seek(start)
                digest.update(stream.read(CHUNK))
    return digest.hexdigest()[:16]


def import_utils(bench: str) -> ModuleType:
    return importlib.import_module(f"eval.tasks.{bench}.utils")


def writable(folder: Path) -> None:
    """Creates the output folder; raises UserError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror}); choose another output folder") from error


@contextmanager
def told_when_full(folder: Path, temporary: Path | None = None) -> Iterator[None]:
    """Raises UserError where the disk is full; `temporary` is not left behind, whatever happens."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"the disk is full at {folder}: free space and give the same command again") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_result(folder: Path) -> dict[str, Any] | None:
    """A stored result, None if there is none; raises UserError for a file that this program did not write."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if isinstance(result["identity"], dict) and (folder / "samples.parquet").is_file():
            return result
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path}: no complete result of this program; choose another output folder or remove it")


def refuse_other(folder: Path, stored: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raises UserError naming what differs between the stored result's identity and the one asked for."""
    differs = [
        f"{key} {stored.get(key)!r} there, {asked.get(key)!r} asked"
        for key in sorted(stored.keys() | asked.keys())
        if stored.get(key) != asked.get(key)
    ]
    if differs:
        versions = {d.partition(" ")[0] for d in differs} <= {"task_version", "grader_version"}
        mend = "pass --regrade" if versions else "choose another output folder"
        raise UserError(f"{folder} holds another evaluation ({'; '.join(differs)}); {mend}")


def write_json(path: Path, value: Any) -> None:
    """Atomic; raises UserError on a full disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    with told_when_full(path.parent, temporary):
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        os.replace(temporary, path)


def write_bench(folder: Path, result: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    """Samples first, result last: a folder with a result.json is complete. Raises UserError on a full disk.

    One sample a reply, ordered by row, then sample number.
    """
    import pyarrow
    import pyarrow.parquet

    temporary = folder / ".samples.parquet.tmp"
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("sample", pyarrow.int64()),
            *((name, pyarrow.string()) for name in ("doc_hash", "prompt_hash", "cluster", "reply")),
            ("extracted", pyarrow.string()),
            ("wrapper", pyarrow.string()),
            ("parsed", pyarrow.bool_()),
            ("correct", pyarrow.bool_()),
            ("tokens", pyarrow.int64()),
            ("finish", pyarrow.string()),
        ]
    )
    with told_when_full(folder, temporary):
        folder.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(samples, schema=schema), temporary)
        os.replace(temporary, folder / "samples.parquet")
    write_json(folder / "result.json", result)


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The lines of `samples.parquet`, as `write_bench` took them."""
    import pyarrow.parquet

    samples: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "samples.parquet").to_pylist()
    return samples
