"""Rows of a bench in a local file or folder, in the official columns."""

import os
from collections.abc import Iterator
from pathlib import Path

from eval.benches.bench import Bench
from eval.core import tables
from eval.core.errors import UserError
from eval.core.tables import Raw


def local_rows(bench: Bench, path: Path, split: str | None, text_only: bool) -> Iterator[Raw]:
    """The rows of a bench at a path; `text_only` leaves parquet's pictures in the file. Raises UserError."""
    return tables.read_files(files(bench, path, split), pictures=not text_only)


def fingerprint(bench: Bench, path: Path, split: str | None) -> str:
    """What the data files hold."""
    return tables.fingerprint(files(bench, path, split))


def files(bench: Bench, path: Path, split: str | None) -> list[Path]:
    """The data files of a bench at a path: the file itself, or those of one split in the bench's folder.

    A file that is named outright is the split that is asked for, whatever its name; so is a folder's only split, where
    none is asked for.
    """
    if not os.path.exists(path):  # a folder that may not be looked into is none
        raise UserError(f"--data {path}: no such file or folder; give hub, mini or a local path")
    folder = path / bench.name if os.path.isdir(path / bench.name) else path
    found = tables.data_files(folder)
    if found == [path]:
        return found
    held: dict[str, list[Path]] = {}
    for file in found:
        held.setdefault(tables.split_of(file), []).append(file)
    wanted = split or bench.split
    if wanted in held:
        return held[wanted]
    if split is None and len(held) == 1:
        return found
    raise UserError(
        f"{folder}: holds no split {wanted}; it holds {', '.join(held)}: name one with "
        f"--set eval.splits.{bench.name}=<split>, or give one file"
    )
