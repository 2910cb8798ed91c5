"""Training rows on the disk: each is read, checked and counted once, and memory-mapped ever after.

A folder for each data set, way of reading it and processor holds parts, Arrow files of some thousand rows, which all
processes, runs and resumes share. Only as many are written as a run needs, by one process while the others wait; a part
is whole or not there, so that after a kill the same command goes on with the next. Pictures that are files stay where
they are, and a part whose files have changed is written anew.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from datasets import Dataset, Features, Image, List, Value
from pyarrow import compute

from eval.core import files
from eval.core.cells import shown
from eval.core.errors import UserError
from eval.core.images import Picture
from eval.core.progress import Bar
from eval.core.tables import Row
from runners.data.prompts import MARKER, messages, student_text
from runners.data.rows import checked_rows, read_rows
from runners.data.source import MEND, cache_folder, located, state
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
ROWS, BYTES = 4096, 1 << 26  # of a part, which is held until it is written


class Part(NamedTuple):
    """Some rows, in the columns STORED, and what is known of them.

    `about`: the number of the source's row after them (`next`), whether there is none (`end`), what is wrong with the
    rows left out (`bad`), how many have a solution (`solutions`), and the `state` of the picture files.
    """

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
    parts, notes = list[Part](), sorted(folder.glob("*.json"))
    for note in notes:
        try:
            part = _read(note)
            if part.about["state"] != state(_pictures(part.table)):
                break
        except (OSError, ValueError, KeyError, TypeError):  # pyarrow's errors are ValueErrors
            break
        parts.append(part)
    for note in reversed(notes[len(parts) :]):
        note.unlink()
    return parts


def _read(note: Path) -> Part:
    return Part(Dataset.from_file(str(note.with_suffix(".arrow"))), json.loads(note.read_text()))


def _written(
    folder: Path, parts: list[Part], settings: Settings, processor: Any, missing: int, bar: Bar
) -> Iterator[Part]:
    """Further parts, each on the disk, until `missing` more rows fit."""
    first, end, limit = parts[-1].about["next"] if parts else 0, False, settings.train.max_prompt_tokens
    source = _counted(settings, processor, first)
    for number in count(len(parts)):
        if missing <= 0 or end:
            return
        note = folder / f"{number:05d}.json"
        _write(note, first, source, limit, missing, bar)
        part = _read(note)
        first, end, missing = part.about["next"], part.about["end"], missing - part.fitting(limit)
        yield part


def _counted(settings: Settings, processor: Any, first: int) -> Iterator[tuple[int, Row | str]]:
    """As `checked_rows`, in the columns STORED; a line for a row that is to be left out."""
    for number, found in checked_rows(settings.data, first, settings.model.max_pixels):
        try:
            if isinstance(found, UserError):
                raise found
            row: Row | str = _stored(found, processor)
        except UserError as error:
            _refuse_unless_skipped(settings, str(error))
            row = str(error)
        yield number, row


def _write(note: Path, first: int, source: Iterator[tuple[int, Row | str]], limit: int, missing: int, bar: Bar) -> None:
    """One part: its rows, then the note that says it is whole."""
    rows, bad, size, last, full = list[Row](), list[str](), 0, first, False
    for number, row in source:
        last = number
        if isinstance(row, str):
            bad.append(row)
            continue
        rows.append(row)
        size += sum(len(image["bytes"] or b"") for image in row["images"])
        if row["tokens"] <= limit:
            missing -= 1
            bar.advance(1)
        if full := len(rows) == ROWS or size >= BYTES or not missing:
            break
    schema = STORED.arrow_schema
    with (
        files.replaced(note.with_suffix(".arrow"), durable=True) as [half],
        pyarrow.ipc.new_stream(str(half), schema) as out,
    ):
        out.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
    pictures = [Path(image["path"]) for row in rows for image in row["images"] if image["path"]]
    about = {"next": last, "end": not full, "bad": bad, "state": state(pictures)}
    about["solutions"] = sum(row["solution"] is not None for row in rows)
    files.write_json(note, about, durable=True)


def _stored(row: Row, processor: Any) -> Row:
    text = student_text(row["question"])
    where = f"row {shown(row['id'])}"
    refuse_placeholders(f"{text} {row['answer']} {row['solution'] or ''}", where, processor)
    return {
        "id": row["id"],
        "prompt": [{"role": "user", "content": text}],
        "images": [_cell(image) for image in row["images"]],
        "answer": row["answer"],
        "solution": row["solution"],
        "tokens": prompt_tokens(text, row["images"], row["sizes"], where, processor),
        "pictures": len(row["images"]),
    }


def _cell(image: Any) -> Any:
    if isinstance(image, Path):
        return {"bytes": None, "path": str(image)}
    return {"bytes": image, "path": None} if isinstance(image, bytes) else image


def _pictures(table: Dataset) -> Iterator[Path]:
    """The files that rows name; no picture that is stored is looked at."""
    for chunk in table.data.column("images").chunks:
        yield from (Path(path) for path in chunk.flatten().field("path").drop_null().to_pylist())


def prompt_tokens(
    text: str, images: Sequence[Any], sizes: Sequence[tuple[int, int]], where: str, processor: Any
) -> int:
    """Tokens of a user turn and its pictures, `sizes` being their widths and heights; the words of the chat template
    are not counted. `processor` is a tokenizer where the model reads text alone: raises UserError for pictures then."""
    tokenizer = getattr(processor, "tokenizer", processor)
    if images and tokenizer is processor:
        raise UserError(f"{where} shows a picture, and the model reads text alone: name other data, or another model")
    if images and not hasattr(processor, "_get_num_multimodal_tokens"):  # it cannot tell from their sizes
        turn = processor.apply_chat_template(messages(text, len(images)), add_generation_prompt=True, tokenize=False)
        shown = [Picture(image).open() for image in images]
        return len(processor(text=[turn], images=[shown])["input_ids"][0])
    upright = [(height, width) for width, height in sizes]
    pictures = processor._get_num_multimodal_tokens(image_sizes=upright)["num_image_tokens"] if images else []
    return len(tokenizer(text)["input_ids"]) + sum(pictures)


def refuse_placeholders(text: str, where: str, processor: Any) -> None:
    """Raises UserError for text with what this model's template puts in a picture's place, whatever others call it."""
    for token in (getattr(processor, name, None) for name in ("image_token", "video_token")):
        if isinstance(token, str) and token != MARKER and token in text:
            raise UserError(f"{where} says {token}, which stands for a picture: {MEND}")


def counted_by(processor: Any) -> str:
    """Identifies what `prompt_tokens` depends on."""
    images, tokenizer = getattr(processor, "image_processor", None), getattr(processor, "tokenizer", processor)
    made = [type(processor).__name__, type(images).__name__, images.to_json_string() if images else ""]
    words = json.loads(tokenizer.backend_tokenizer.to_str())
    del words["padding"], words["truncation"]  # of the last call
    return files.text_hash(json.dumps([made, words]))
