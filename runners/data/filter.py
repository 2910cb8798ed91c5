"""Difficulty filter: a model tries every row of training data k times, and the rows that it cannot solve are kept.

This is how MMFineReason-123K was cut out of 1.8 million rows: it failed all of four rollouts (arXiv 2601.21821).
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from eval.core import files
from eval.core.differences import differences
from eval.core.errors import UserError
from eval.core.images import Picture
from eval.core.progress import Bar
from eval.core.tables import Row
from eval.engines.load import loaded_engine
from eval.engines.requests import Question, Reply, tokenizer_of
from eval.pipeline.evaluate import HOW
from eval.pipeline.results import model_id
from runners.data.prompts import messages, student_text
from runners.data.rewards import is_right
from runners.data.rows import check_usable, read_rows
from runners.data.source import DRAWN
from runners.run import lock
from runners.run.config import Settings
from runners.run.model import locate

TEXTS = dict.fromkeys(("id", "question", "answer", "solution"), Value("string"))
FEATURES = Features({**TEXTS, "images": List(Image()), "pass_rate": Value("float64")})
CHUNK = 64  # rows that are asked together, and asked again after a kill
KEY = b"difficulty filter"  # of the parquet's metadata
Note = dict[str, Any]  # what is written down of a chunk: which rows, right replies of each (None: too long), cut ones


@dataclass(frozen=True)
class Filter:
    """What one filter is asked to do: data, seed and sampling (`eval`) come from the settings."""

    settings: Settings
    k: int
    limit: int | None  # rows
    keep: float  # the highest pass rate (0..1) that is kept

    def check(self, out: Path) -> None:
        if out.suffix != ".parquet":
            raise UserError(f"--out {out}: kept rows are written as parquet, give a name that ends in .parquet")
        if self.settings.data.source in DRAWN and self.limit is None:
            raise UserError(f"{self.settings.data.source} data never ends: say how many rows with --limit")
        if self.settings.eval.temperature == 0 and self.k > 1:
            raise UserError(f"--temperature 0 gives the same reply {self.k} times: raise it, or use --k 1")

    def identity(self) -> dict[str, Any]:
        """What decides the replies."""
        sampling = self.sampling().model_dump(mode="json", exclude=HOW | {"data", "limit", "samples"})
        return {
            "model": model_id(locate(self.settings.model.path)),
            **{f"data.{key}": value for key, value in self.settings.data.model_dump(mode="json").items()},
            **{f"eval.{key}": value for key, value in sampling.items()},
            **self.sampling().spoken,
            "k": self.k,
            "limit": self.limit,
        }

    def sampling(self) -> Any:
        pixels = self.settings.eval.max_pixels or self.settings.model.max_pixels
        return self.settings.evaluation.model_copy(update={"max_pixels": pixels, "seed": self.settings.seed})

    def chunks(self, bad: list[str]) -> Iterator[list[Row]]:
        rows = islice(read_rows(self.settings.data, self.settings.seed, bad), self.limit)
        return iter(lambda: list(islice(rows, CHUNK)), [])

    def replies(self, engine: Any, bar: Bar, first: int, rows: list[Row]) -> list[list[Reply]]:
        """k replies to each row; `first` is the number of the first, which decides their random streams."""
        found: dict[tuple[int, int], Reply] = {}
        for answered in engine.answers(self._questions(engine, first, rows)):
            found.update(((question.row, question.sample), reply) for question, reply in answered)
            bar.advance(len(answered))
        return [[found[first + i, j] for j in range(self.k)] for i in range(len(rows))]

    def _questions(self, engine: Any, first: int, rows: list[Row]) -> list[Question]:
        questions = []
        for i, row in enumerate(rows):
            plain = tokenizer_of(engine.processor) is engine.processor  # a text model's
            turn = messages(student_text(row["question"]), len(row["images"]), plain=plain)
            prompt = engine.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
            pictures = [Picture(source) for source in row["images"]]
            questions += [Question(first + i, j, prompt, pictures) for j in range(self.k)]
        return questions


def _note(rows: list[Row], replies: list[list[Any]]) -> Note:
    right = [
        None if any(r.finish == "overflow" for r in group) else sum(is_right(r.text, row["answer"]) for r in group)
        for row, group in zip(rows, replies, strict=True)
    ]
    return {"rows": _digest(rows), "right": right, "cut": sum(r.finish == "length" for g in replies for r in g)}


def _digest(rows: list[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row["id"], row["question"], row["answer"]]).encode())
        for source in row["images"]:
            digest.update(Picture(source).content())
    return digest.hexdigest()[:16]


def filter_rows(asked: Filter, out: Path) -> str:
    """Writes the kept rows to `out`, a parquet file that is training data again, and returns a summary.

    Columns: id, question, answer, solution, images (embedded), pass_rate (0..1). What is answered is noted beside
    `out`, so that the same call goes on where it was stopped; it does nothing where `out` is there. Raises UserError
    for bad data or a bad model, for files of a filter with other settings, where no row is kept, and where another
    process writes to `out`.
    """
    asked.check(out)
    with lock.held(out.with_name(f"{out.name}.lock.json")):
        return _filtered(asked, out)


def _filtered(asked: Filter, out: Path) -> str:
    identity = asked.identity()
    noted = out.with_name(f"{out.name}.answers.jsonl")
    if out.exists():
        _refuse_other(out, _made_with(out), {**identity, "keep": asked.keep})
        noted.unlink(missing_ok=True)  # a kill has left it beside what was made of it
        return f"already filtered, nothing to do: {out}"
    notes = _read_notes(noted, identity)
    # Bad data must not cost a model load, let alone a day of rollouts: it is all read before the first.
    bad: list[str] = []
    sizes = []
    same = True
    for number, rows in enumerate(asked.chunks(bad)):
        same &= number >= len(notes) or notes[number]["rows"] == _digest(rows)
        sizes.append((len(rows), max(len(row["images"]) for row in rows)))
    if not same or len(notes) > len(sizes):
        raise UserError(f"{noted} is about other rows than {asked.settings.data.source} holds now: remove it")
    total = sum(n for n, _ in sizes)
    check_usable(asked.settings.data, total, bad)
    if len(notes) < len(sizes):
        if not notes:  # a disk that takes nothing is told before the model loads
            files.write(noted, files.lines_text([identity]))
        done = sum(n for n, _ in sizes[: len(notes)])
        most = max(1, *(pictures for _, pictures in sizes))
        with (
            loaded_engine(locate(asked.settings.model.path), asked.sampling(), most) as engine,
            Bar("replies", total * asked.k, done * asked.k) as bar,
        ):
            for number, rows in islice(enumerate(asked.chunks([])), len(notes), None):
                notes.append(_note(rows, asked.replies(engine, bar, number * CHUNK, rows)))
                files.append_lines(noted, notes[-1:])
    summary = _write(asked, notes, identity, out)
    noted.unlink()
    return f"{summary}: {out}"


def _summary(k: int, notes: list[Note], kept: int) -> str:
    right = [n for note in notes for n in note["right"]]
    counts = Counter(right)
    rates = ", ".join(f"{n}/{k} right: {counts[n]}" for n in range(k + 1))
    cut = sum(note["cut"] for note in notes) / (k * len(right))
    long = f", {counts[None]} too long for the model" if counts[None] else ""
    return f"kept {kept} of {len(right)} rows ({rates}{long}; {100 * cut:.0f} % of replies cut at the token limit)"


# --- files --------------------------------------------------------------------------------------------------------


def _refuse_other(path: Path, there: Any, asked: dict[str, Any]) -> None:
    if not isinstance(there, dict):
        raise UserError(f"{path} was not written by this filter: choose another --out")
    if differs := differences(there, asked):
        raise UserError(f"{path} belongs to other settings ({'; '.join(differs)}): choose another --out, or remove it")


def _made_with(out: Path) -> Any:
    try:
        return json.loads((pyarrow.parquet.read_schema(out).metadata or {}).get(KEY, b"null"))
    except (OSError, ValueError):  # pyarrow's errors are ValueErrors
        return None


def _read_notes(path: Path, identity: dict[str, Any]) -> list[Note]:
    """The chunks that are answered; a line that a kill has torn is none."""
    if not path.exists():
        return []
    lines = files.read_lines(path)
    _refuse_other(path, lines.rows[0] if lines.rows and not lines.damaged else None, identity)
    return lines.rows[1:]


def _write(asked: Filter, notes: list[Note], identity: dict[str, Any], out: Path) -> str:
    """The kept rows in the source's order; returns the summary. Raises UserError, and writes nothing, for no row."""
    about = {KEY: json.dumps({**identity, "keep": asked.keep}).encode()}
    schema, kept = FEATURES.arrow_schema, 0
    schema = schema.with_metadata({**schema.metadata, **about})
    with files.replaced(out) as [half], pyarrow.parquet.ParquetWriter(half, schema) as writer:
        for note, rows in zip(notes, asked.chunks([]), strict=True):
            rated = [(row, n / asked.k) for row, n in zip(rows, note["right"], strict=True) if n is not None]
            if table := [_stored(row, rate) for row, rate in rated if rate <= asked.keep]:
                writer.write_table(pyarrow.Table.from_pylist(table, schema=schema))
                kept += len(table)
        summary = _summary(asked.k, notes, kept)
        if not kept:
            raise UserError(f"{summary}: raise --keep-max-pass-rate (no row is asked again)")
    return summary


def _stored(row: Row, rate: float) -> Row:
    images = [{"bytes": _encoded(source), "path": None} for source in row["images"]]
    return {**row, "images": images, "pass_rate": rate}


def _encoded(source: bytes | Path | Pictures.Image) -> bytes:
    if isinstance(source, Pictures.Image):
        stream = io.BytesIO()
        source.save(stream, "png")
        return stream.getvalue()
    return source if isinstance(source, bytes) else source.read_bytes()
