"""Training rows on the disk: each is read, checked and counted once, and memory-mapped ever after.

A folder for each data set, way of reading it and processor holds parts, Arrow files of some thousand rows, which all
processes, runs and resumes share. Only as many are written as a run needs, by one process while the others wait; a part
is whole or not there, so that after a kill the same command goes on with the next. Pictures that are files stay where
they are, and a part whose files have changed is written anew.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from datasets import Dataset, Features, Image, List, Value
from pyarrow import compute

from eval.core import files
from eval.core.errors import UserError
from eval.core.progress import Bar
from eval.core.tables import Row
from runners.data.fit import counted_by, prompt_tokens, refuse_placeholders
from runners.data.prompts import student_text
from runners.data.rows import checked_rows, read_rows
from runners.data.source import cache_folder, located, state
from runners.run.config import Settings

FEATURES = Features(
    {
        "id": Value("string"),
        "prompt": [{"role": Value("string"), "content": Value("string")}],
        "images": List(Image()),
        "answer": Value("string"),
        "solution": Value("string"),
    }
)
STORED = Features({**FEATURES, "tokens": Value("int32"), "pictures": Value("int32")})  # of the prompt
VERSION = 1  # raised whenever rows are read, checked or stored in another way
ROWS, BYTES = 4096, 1 << 28  # of a part at most; a process that writes one holds it twice
KEY = b"part"  # of a file's metadata


class Part(NamedTuple):
    """Some rows, in the columns STORED. `about`: the number of the source's row after them (`next`), whether there is none
    (`end`), what is wrong with the rows left out (`bad`), how many have a solution (`solutions`), and the `state` of the
    picture files."""

    table: Dataset
    about: dict[str, Any]

    def fitting(self, limit: int) -> int:
        """Rows whose prompts have at most `limit` tokens."""
        return compute.sum(compute.less_equal(self.table.data.column("tokens"), limit)).as_py() or 0


def drawn_part(settings: Settings, processor: Any, needed: int) -> Part:
    """In memory, for other seeds draw other rows: the first ones, of which `needed` fit if half of all do."""
    rows, fitting = list[Row](), 0
    for row in islice(read_rows(settings.data, settings.seed, []), 2 * needed):
        rows.append(_stored(row, processor))
        fitting += rows[-1]["tokens"] <= settings.train.max_prompt_tokens
        if fitting == needed:
            break
    return Part(Dataset.from_list(rows, features=STORED), {"bad": [], "solutions": 0})


def stored_parts(settings: Settings, processor: Any, needed: int) -> list[Part]:
    """Parts in which `needed` rows fit the prompt's limit, or all there are.

    Raises UserError for a bad row as `checked_rows` names it, unless `data.skip_bad_rows`, and where nothing can be
    written.
    """
    folder = cache_folder() / _key(settings, processor)
    with _alone(folder):
        parts = _whole(folder)
        missing = needed - sum(part.fitting(settings.train.max_prompt_tokens) for part in parts)
        for line in (line for part in parts for line in part.about["bad"]):
            _refuse_unless_skipped(settings, line)
        if missing > 0 and not (parts and parts[-1].about["end"]):
            with Bar("rows read and checked", needed, needed - missing) as bar:
                parts += _written(folder, parts, settings, processor, missing, bar)
    return parts


def _key(settings: Settings, processor: Any) -> str:
    read = settings.data.model_dump(mode="json", exclude={"skip_bad_rows"}) | {"max_pixels": settings.model.max_pixels}
    held = state(located(settings.data).files)
    return files.text_hash(json.dumps([VERSION, read, held, student_text(""), counted_by(processor)]))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the system lets go for one that is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        mend = "set HF_DATASETS_CACHE to a folder that can"
        raise UserError(f"{folder}: cannot be written ({error.strerror}); {mend}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse_unless_skipped(settings: Settings, line: str) -> None:
    if not settings.data.skip_bad_rows:
        raise UserError(line)


# --- parts --------------------------------------------------------------------------------------------------------


def _whole(folder: Path) -> list[Part]:
    """The parts up to the first that is damaged, or whose pictures have changed; it and all after it are removed."""
    parts = list[Part]()
    paths = sorted(folder.glob("*.arrow"))
    for path in paths:
        try:
            table = Dataset.from_file(str(path))
            part = Part(table, json.loads(table.data.schema.metadata[KEY]))
        except (OSError, ValueError, KeyError, TypeError):  # pyarrow's errors are ValueErrors
            break
        if part.about["state"] != state(_pictures(table.data.column("images"))):
            break
        parts.append(part)
    for path in reversed(paths[len(parts) :]):
        path.unlink()
    return parts


def _written(
    folder: Path, before: list[Part], settings: Settings, processor: Any, missing: int, bar: Bar
) -> Iterator[Part]:
    """Further parts, each on the disk, until `missing` more rows fit."""
    first, number = before[-1].about["next"] if before else 0, len(before)
    rows, bad, size, last = list[Row](), list[str](), 0, first
    for last, row in checked_rows(settings.data, first, settings.model.max_pixels):
        try:
            if isinstance(row, UserError):
                raise row
            rows.append(_stored(row, processor))
        except UserError as error:
            _refuse_unless_skipped(settings, str(error))
            bad.append(str(error))
            continue
        size += sum(len(image["bytes"] or b"") for image in rows[-1]["images"])
        if rows[-1]["tokens"] <= settings.train.max_prompt_tokens:
            missing -= 1
            bar.advance(1)
        if len(rows) == ROWS or size >= BYTES or not missing:
            yield _write(folder / f"{number:05d}.arrow", rows, {"next": last, "end": False, "bad": bad})
            rows, bad, size, number = [], [], 0, number + 1
        if not missing:
            return
    yield _write(folder / f"{number:05d}.arrow", rows, {"next": last, "end": True, "bad": bad})


def _write(path: Path, rows: list[Row], about: dict[str, Any]) -> Part:
    table = pyarrow.Table.from_pylist(rows, schema=STORED.arrow_schema)
    solutions = sum(row["solution"] is not None for row in rows)
    about |= {"solutions": solutions, "state": state(_pictures(table.column("images")))}
    table = table.replace_schema_metadata({**table.schema.metadata, KEY: json.dumps(about).encode()})
    with files.replaced(path, durable=True) as [half], pyarrow.ipc.new_stream(str(half), table.schema) as out:
        out.write_table(table, max_chunksize=64)
    return Part(Dataset.from_file(str(path)), about)


def _stored(row: Row, processor: Any) -> Row:
    text = student_text(row["question"])
    refuse_placeholders(f"{text} {row['answer']} {row['solution'] or ''}", f"row {row['id']}", processor)
    return {
        "id": row["id"],
        "prompt": [{"role": "user", "content": text}],
        "images": [_cell(image) for image in row["images"]],
        "answer": row["answer"],
        "solution": row["solution"],
        "tokens": prompt_tokens(text, row["sizes"], processor),
        "pictures": len(row["images"]),
    }


def _cell(image: Any) -> Any:
    if isinstance(image, Path):
        return {"bytes": None, "path": str(image)}
    return {"bytes": image, "path": None} if isinstance(image, bytes) else image


def _pictures(images: Any) -> Iterator[Path]:
    """The files in a column of lists of pictures; no picture that is stored is looked at."""
    for chunk in images.chunks:
        yield from (Path(path) for path in chunk.flatten().field("path").drop_null().to_pylist())
