"""Rows of a bench, checked: from the hub, drawn (mini), or from a local file or folder in the official schema."""

import hashlib
import json
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from eval.benches import BENCHES
from eval.benches.bench import Bench
from eval.core import cells
from eval.core.errors import UserError
from eval.core.images import Picture, Unusable
from eval.core.tables import Raw
from eval.data.sources import raw_rows
from eval.grading.score import Row
from eval.grading.spelling import restored

_HIDDEN = ("", "?")  # what MathVista's and MMMU's test splits hold in place of the answer


class Data(NamedTuple):
    """Rows in official columns with `Picture`s in the picture columns; `skipped` counts bad rows left out."""

    rows: list[Row]
    skipped: int
    lost: list[str] = []  # what is wrong with rows on which no reply can be right, by id: they count all the same


class BadRow(Exception):
    """One row cannot be used; the message says why."""


def load(
    name: str,
    data: str,
    limit: int | None = None,
    skip_bad: bool = False,
    split: str | None = None,
    allow_outside: bool = False,
) -> Data:
    """The rows of one bench, checked, with `limit` applied (problems of several rows stay whole).

    `split` is another than the bench's own; only there may answers be hidden (None in all rows: nothing to grade).
    Pictures may lie outside the data's folder with `allow_outside` only.
    Raises UserError for data that cannot be had, and for a row without picture, answer or column, or with a
    corrupt picture; with `skip_bad` such rows are left out and counted (with the rest of their problem).
    """
    bench = BENCHES[name]
    raws = list(raw_rows(bench, data, split))
    if limit is not None:
        raws = _limited(bench, raws, limit)
    rows, bad = _sound(bench, raws, split, lambda raw, row: _with_pictures(bench, raw, row, allow_outside), bench.asked)
    if bad and not skip_bad:
        raise UserError(f"{_one_line(bad)}; mend the data or pass --skip-bad-rows")
    rows = _whole_problems(bench, rows, data, skip_bad)
    if not rows:
        raise UserError(f"{name}: no usable row in {data}; check --data")
    reasons = {bench.row_id(row): reason for row in rows if (reason := lost(bench, row))}
    return Data(rows, len(raws) - len(rows), [f"{row_id}: {reason}" for row_id, reason in reasons.items()])


def load_text(name: str, data: str) -> list[Row]:
    """The rows of one bench in official columns, for grading replies that are there: pictures are not read.

    Needs only the columns that grading and aggregation read, so official annotation files do. Loads neither torch
    nor pyarrow unless the data is of that kind. Raises UserError as `load`.
    """
    bench = BENCHES[name]
    raws = raw_rows(bench, data, None, text_only=True)
    rows, bad = _sound(bench, raws, None, lambda _, row: without_pictures(bench, row))
    if bad:
        raise UserError(f"{_one_line(bad)}; mend the data")
    if not rows:
        raise UserError(f"{name}: no row in {data}; check --data")
    return rows


def _sound(
    bench: Bench,
    raws: Iterable[Raw],
    split: str | None,
    finish: Callable[[Raw, Row], Row],
    asked: tuple[str, ...] = (),
) -> tuple[list[Row], list[str]]:
    """The rows that can be used, each as `finish` leaves it, and a line on each that cannot."""
    found = [(raw, _official(bench, raw.row)) for raw in raws]
    hidden = split not in (None, bench.split) and all(row[bench.answer] is None for _, row in found)
    need_answer = not hidden and not bench.answers_optional
    rows: list[Row] = []
    bad: list[str] = []
    seen: set[str] = set()
    for raw, row in found:
        try:
            _check_columns(bench, raw, row, need_answer, asked)
            usable = finish(raw, row)
            if (row_id := bench.row_id(usable)) in seen:
                raise BadRow(f"its id {row_id} occurs twice")
            seen.add(row_id)
            rows.append(usable)
        except BadRow as error:
            bad.append(f"{raw.where}: {error}")
    return rows, bad


def _official(bench: Bench, raw: Row) -> Row:
    """The row in official columns; its answer is text (or a list of texts), None where it is hidden."""
    row = bench.respelt(raw)
    answer = row.get(bench.answer)
    if isinstance(answer, int | float):
        answer = str(answer) if abs(answer) < inf else None  # official answers are text, and compared as text
    row[bench.answer] = None if isinstance(answer, str) and answer.strip() in _HIDDEN else answer
    return row


def _one_line(bad: list[str]) -> str:
    return bad[0] + (f" ({len(bad) - 1} more rows are bad)" if len(bad) > 1 else "")


def _whole_problems(bench: Bench, rows: list[Row], data: str, skip_bad: bool) -> list[Row]:
    lacking = bench.lacking(rows)
    if lacking and not skip_bad:
        problem, keys = next(iter(lacking.items()))
        raise UserError(
            f"{data}: {bench.label} problem {problem} lacks {', '.join(sorted(keys))}; add them or pass --skip-bad-rows"
        )
    return [row for row in rows if bench.problem(row) not in lacking]


def lost(bench: Bench, row: Row) -> str | None:
    """Why no reply can be right on a row, or None: its own gold answer, in a box, must be right under the default rule.

    A row without an answer is not graded, and has no reason. A gold of several is won by its first.
    """
    if row.get(bench.answer) is None:
        return None
    gold = next(iter(bench.golds(row)), "")
    if not gold.strip():
        return "its answer is empty"
    if bench.grade(row, f"\\boxed{{{restored(gold)}}}", "default").correct:
        return None
    return f"its own answer {gold!r} counts as wrong under the default rule"


def _limited(bench: Bench, raws: list[Raw], limit: int) -> list[Raw]:
    """The first rows; where several make a problem the first problems, whole, while they fit (at least one)."""
    units: dict[str | int, list[Raw]] = {}
    for n, raw in enumerate(raws):
        units.setdefault(bench.problem(raw.row) or n, []).append(raw)
    kept: list[Raw] = []
    for unit in units.values():
        if kept and len(kept) + len(unit) > limit:
            break
        kept += unit
    return kept


def _check_columns(bench: Bench, raw: Raw, row: Row, need_answer: bool, asked: tuple[str, ...]) -> None:
    """Raises BadRow for a column that grading, or prompting with the columns `asked`, cannot do without."""
    if need_answer and row[bench.answer] is None:
        raise BadRow("has no answer")
    for column in (*bench.key, *bench.graded, *asked):
        if row.get(column) is None:
            raise BadRow(f"has no column {column} (columns: {', '.join(sorted(raw.row))})")
        if isinstance(row[column], str) and cells.broken(row[column]):
            raise BadRow(f"holds half a character (a lone surrogate) in column {column}")
    if problem := bench.fault(row):
        raise BadRow(problem)


def without_pictures(bench: Bench, row: Row) -> Row:
    return {column: cell for column, cell in row.items() if column not in bench.pictures}


def _with_pictures(bench: Bench, raw: Raw, row: Row, allow_outside: bool) -> Row:
    """The row with a `Picture`, opened once, in every picture column; raises BadRow."""
    count = 0
    for column in bench.pictures:
        cell = row.get(column)
        values = [value for value in (cell if isinstance(cell, list) else [cell]) if value is not None]
        pictures = [_picture(raw, value, allow_outside) for value in values]
        count += len(pictures)
        row[column] = pictures if isinstance(cell, list) else pictures[0] if pictures else None
    if not count:
        raise BadRow("has no image")
    shown, prompt = bench.shown(row), bench.prompt(row)
    if None in shown:
        raise BadRow("names an image in its text that it does not hold")
    placeholder = cells.PLACEHOLDER.search(prompt)
    if placeholder or prompt.count("<image>") != len(shown):
        said = placeholder[0] if placeholder else "<image>"
        raise BadRow(f"says {said} in its text, which stands for a picture")
    return row


def _picture(raw: Raw, value: Any, allow_outside: bool) -> Picture:
    try:
        picture = cells.picture(value, _Places(raw.folder, raw.folder, allow_outside))
    except Unusable as error:
        raise BadRow(f"has no image: {error}") from None
    if found := picture.fault():
        name = picture.source if isinstance(picture.source, Path) else "its image"
        raise BadRow(f"has a picture that cannot be used ({name}: {found})")
    return picture


class _Places(cells.Places):
    """Beside a bench's data file, below it, or in a folder that the path names from one level up."""

    def tried(self, name: str) -> list[cells.Place]:
        folder, own = self.folder, Path(name).name
        names = [(folder, name), (folder, own), (folder, f"images/{own}")]
        if not Path(name).is_absolute():
            names.insert(2, (folder.parent, name))
        return [(place, place / path) for place, path in names]


def doc_hash(name: str, row: Row) -> str:
    """Identifies a row by its text and its pictures' content."""
    digest = hashlib.sha256()
    for column in sorted(row):
        cell = row[column]
        digest.update(column.encode())
        if column in BENCHES[name].pictures:
            for picture in cell if isinstance(cell, list) else [cell]:
                digest.update(picture.content() if picture is not None else b"")
        else:
            digest.update(json.dumps(cell, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]
