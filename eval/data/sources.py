"""Where a bench's rows come from: the hub, a drawing (mini), or a local file or folder in the official columns.

The mini editions are drawn visual arithmetic in each bench's official schema: loading, prompting, grading and
aggregation run on a machine with nothing to download. A mini score says nothing about the bench it imitates; every id
starts with `mini_` to keep the two apart. Pictures are PIL images in the column where the official set has them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from eval.benches import BENCHES
from eval.benches.bench import Bench
from eval.core import tables
from eval.core.errors import UserError
from eval.core.tables import Raw
from eval.grading.score import Row

DRAWING = 2  # results on another drawing of the same names are of other rows
EDITIONS = {"mini": 1, "mini-large": 19}  # how often the quick edition's 40 to 70 rows a bench are drawn
ELSEWHERE = "use --data mini or --data <local file or folder> in the official columns"


def edition(data: str) -> str:
    """What a score was measured on: only `official` may be called the bench's."""
    return data if data in EDITIONS else "official" if data == "hub" else "local"


def fingerprint(name: str, data: str, split: str | None = None) -> str:
    """Identifies the data without reading a picture: a second evaluation of the same data does no work."""
    if data in (*EDITIONS, "hub"):
        drawing = f"{data}, drawing {DRAWING}" if data in EDITIONS else data
        return drawing if split in (None, BENCHES[name].split) else f"{drawing} {split}"
    return tables.fingerprint(_files(BENCHES[name], Path(data), split))


def raw_rows(bench: Bench, data: str, split: str | None, text_only: bool = False) -> Iterator[Raw]:
    """The rows of one split, by default the bench's own; `text_only` leaves stored pictures out. Raises UserError."""
    if data in EDITIONS:
        for n, row in enumerate(mini_rows(bench, split or bench.split, data), 1):
            yield Raw(row, f"{data} {bench.name} row {n}", Path())
    elif data == "hub":
        yield from _hub_rows(bench, split or bench.split, text_only)
    else:
        yield from tables.read_files(_files(bench, Path(data), split), pictures=not text_only)


def mini_rows(bench: Bench, split: str, edition: str = "mini") -> list[Row]:
    """The rows of one mini edition, always the same; raises UserError for a split that is not drawn.

    `mini` is quick and too small to compare methods; a cell of `mini-large` has a standard error below 1.5 points.
    """
    if not bench.mini_splits:
        raise UserError(f"{bench.name}: there is no mini edition; use --data <local file or folder>")
    if split not in bench.mini_splits:
        drawn = ", ".join(bench.mini_splits)
        raise UserError(f"{bench.name}: the mini edition has no split {split}; it has {drawn}")
    return [row for row, _ in bench.draw(split, 0, EDITIONS[edition])]


def _hub_rows(bench: Bench, split: str, text_only: bool) -> Iterator[Raw]:
    """The rows of every config of a bench."""
    if bench.hub is None:
        raise UserError(f"{bench.name}: is not on the hub, {ELSEWHERE}")
    needed = {*bench.key, *bench.graded, *(() if text_only else bench.asked), bench.answer}
    try:
        for config in bench.configs or (None,):
            yield from tables.read_hub(bench.hub, split, ELSEWHERE, config, needed=needed, pictures=not text_only)
    except UserError as error:
        raise UserError(f"{bench.name}: {error}") from error


def _files(bench: Bench, path: Path, split: str | None) -> list[Path]:
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
