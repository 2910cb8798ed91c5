"""Training data: drawn, from a hub, or from local files. One row = id, question, pictures, answer, solution.

Rows are read one at a time. Local files are read without the cache of `datasets`, whose copies may be stale.
"""

import os
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset, Features, Image, List, Value, concatenate_datasets

from eval.benches.drawn import drawn_problem, in_two_pictures, in_words, question_text
from eval.core.errors import UserError
from eval.core.images import Picture
from eval.core.tables import SUFFIXES, Raw, Row, data_files, read_files, read_hub
from runners.data.prompts import MARKER, student_text
from runners.run.config import DataSettings, Settings
from runners.run.world import rank

FEATURES = Features(
    {
        "id": Value("string"),
        "prompt": [{"role": Value("string"), "content": Value("string")}],
        "images": List(Image()),
        "answer": Value("string"),
        "solution": Value("string"),
    }
)
COLUMNS = ("id", "question", "answer", "solution", "image", "images")
DRAWN = ("synthetic", "synthetic-text", "synthetic-pairs")
CHUNK = 256  # rows; Arrow cannot hold 2 GB of pictures in one piece
MEND = "mend it, or set data.skip_bad_rows=true"


def training_rows(settings: Settings) -> Dataset:
    """One row per prompt of the run, in the order in which every method sees them; data that is short, or cut to
    `data.rows`, is repeated.

    Columns: id, prompt (one user message with `<image>` where the data places a picture), images (none, one or
    several), answer, solution (may be None). Only as many rows as needed are read. Raises UserError as `read_rows`.
    """
    needed = settings.train.steps * settings.train.prompts
    distinct = min(needed, settings.data.rows or needed)
    bad: list[str] = []
    rows = islice(read_rows(settings.data, settings.seed, bad), distinct)
    parts = []
    while chunk := [_prompted(row) for row in islice(rows, CHUNK)]:
        parts.append(Dataset.from_list(chunk, features=FEATURES))
    found = sum(len(part) for part in parts)
    check_usable(settings.data, found, bad)
    table = concatenate_datasets(parts)
    mapped = settings.data.source not in DRAWN and "solution" in settings.data.columns
    if mapped and rank() == 0 and all(text is None for text in table["solution"]):
        print(f"no row of {settings.data.source} has a solution: a teacher that wants one is told the answer")
    return table if found == needed else table.select([i % found for i in range(needed)])


def _prompted(row: Row) -> Row:
    prompt = [{"role": "user", "content": student_text(row["question"])}]
    return {name: prompt if name == "prompt" else row[name] for name in FEATURES}


def check_usable(data: DataSettings, found: int, bad: list[str]) -> None:
    """Says how many rows were left out; raises UserError where none is left."""
    if bad:
        print(f"{len(bad)} rows of {data.source} left out, the first: {bad[0].partition(': ')[0]}")
    if not found:
        raise UserError(f"{data.source} has no usable row: each needs a question and an answer, see data.columns")


def read_rows(data: DataSettings, seed: int, bad: list[str]) -> Iterator[Row]:
    """Checked rows one at a time, without end where they are drawn (`seed` fixes them).

    Columns: id, question, images (encoded bytes, a Path, or a drawn picture each; RGB), answer, solution or None.
    Raises UserError naming the row and the mend where a row has no question, no answer, fewer pictures than its text
    places, or a picture that does not open; with `data.skip_bad_rows` the message goes to `bad` instead.
    """
    if unknown := [name for name in data.columns if name not in COLUMNS]:
        raise UserError(f"data.columns names {unknown[0]!r}: ours are {', '.join(COLUMNS)}")
    if data.source in DRAWN:
        yield from _drawn(data.source, seed)
        return
    for i, (raw, _, folder) in enumerate(_raw(data), 1):
        ours = {name: raw.get(data.columns.get(name, name), raw.get(name)) for name in COLUMNS}
        key = str(i if ours["id"] is None else ours["id"])
        try:
            row = _checked({**ours, "id": key}, f"row {key} of {data.source}", folder)
        except UserError as error:
            if not data.skip_bad_rows:
                raise
            bad.append(str(error))
        else:
            yield row


def _drawn(source: str, seed: int) -> Iterator[Row]:
    rng = Random(f"training-{seed}")
    for i in count():
        problem = drawn_problem(rng)
        text, images = question_text(problem), [problem.scene.picture()]
        if source == "synthetic-text":
            text, images = in_words(problem), []
        elif source == "synthetic-pairs":
            text, images = in_two_pictures(problem, 1 + i % 2)
        key = source.replace("synthetic", "drawn").replace("-", "_")
        row = {"id": f"{key}_{seed}_{i}", "question": text, "images": images}
        # One of several valid ways, of a generator of its own: the problems stay those of their seed.
        way = Random(f"way-{seed}-{i}").choice(problem.ways)
        yield row | {"answer": problem.answer, "solution": problem.demonstrate(way=way)}


# --- reading ------------------------------------------------------------------------------------------------------


def _raw(data: DataSettings) -> Iterator[Raw]:
    path, wanted = Path(data.source), {*COLUMNS, *data.columns.values()}
    if path.is_file():
        return read_files(data_files(path), wanted)
    if path.is_dir():
        found = data_files(path)
        return read_files([file for file in found if file.name.startswith(data.split)] or found, wanted)
    if data.source.endswith(SUFFIXES) or data.source.startswith((".", "/", "~")):
        raise UserError(f"{data.source}: no such file or folder; set data.source to a file, a hub id, or synthetic")
    return read_hub(data.source, data.split, "set data.source to a file, another hub id, or synthetic", columns=wanted)


# --- checking -----------------------------------------------------------------------------------------------------


def _checked(raw: Row, where: str, folder: Path) -> Row:
    question, answer, solution = _text(raw["question"]), _text(raw["answer"]), _text(raw["solution"])
    if question is None:
        raise UserError(f"{where} has no question: {MEND}")
    if answer is None:
        raise UserError(f"{where} has no answer that is text or a number: {MEND}")
    cell = raw["images"] or raw["image"]
    cells = [] if cell is None else cell if isinstance(cell, list) else [cell]
    images = [_picture(value, where, folder) for value in cells]
    if (placed := question.count(MARKER)) > len(images):
        raise UserError(f"{where} says {MARKER} {placed} times and has {len(images)} pictures: {MEND}")
    # What a teacher is told follows the question in the same turn, where a marker would place one more picture.
    answer, solution = answer.replace(MARKER, "image"), solution and solution.replace(MARKER, "image")
    return {"id": raw["id"], "question": question, "images": images, "answer": answer, "solution": solution}


def _text(value: Any) -> str | None:
    """Text or a number as text; None for null, NaN, blanks and anything that is neither."""
    if not isinstance(value, str | int | float) or value != value:
        return None
    return str(value) if str(value).strip() else None


def _picture(value: Any, where: str, folder: Path) -> Any:
    """The picture as it is stored where that is RGB (`datasets` turns it upright), else as `Picture.open` shows it."""
    if isinstance(value, dict):  # of the Image feature of `datasets`
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        value = folder.resolve() / value
    if isinstance(value, Path) and not os.path.isfile(value):
        fault: str | None = "no such file"
    elif not isinstance(value, bytes | Path):
        fault = f"it is {type(value).__name__}"
    else:
        fault = Picture(value).fault()
    if fault:
        raise UserError(f"{where}: its picture does not open ({fault}): {MEND}")
    return value if Picture(value).header()[0] == "RGB" else Picture(value).open()
