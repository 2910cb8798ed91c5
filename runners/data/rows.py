"""Training rows as the data hold them, checked one by one: drawn, from a hub, or from local files.

Training and the filter read them here. What they share with a bench's rows is in eval/core: tables, cells, images.
"""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from eval.benches.drawn import Problem, drawn_problem, in_two_pictures, in_words, question_text
from eval.core import cells
from eval.core.errors import UserError
from eval.core.images import LARGEST, SHOWN, Picture, Unusable
from eval.core.tables import Raw, Row
from runners.data import columns
from runners.data.prompts import MARKER
from runners.data.source import DRAWN, MEND, located
from runners.run.config import DataSettings
from runners.run.world import rank

CHUNK = 32  # rows whose pictures are decoded at the same time
THREADS = min(8, os.cpu_count() or 1)  # PIL decodes without holding Python's lock


def read_rows(data: DataSettings, seed: int, bad: list[str]) -> Iterator[Row]:
    """Checked rows one at a time, without end where they are drawn (`seed` fixes them).

    Columns: id, question, images (encoded bytes, a Path, or a drawn picture each; RGB), sizes of these upright (width,
    height), answer, solution or None. Raises UserError as `checked_rows` names it; with `data.skip_bad_rows` the
    message goes to `bad` instead.
    """
    if data.source in DRAWN:
        columns.check(data)
        yield from _drawn(data.source, seed)
        return
    for _, row in checked_rows(data):
        if not isinstance(row, UserError):
            yield row
        elif data.skip_bad_rows:
            bad.append(str(row))
        else:
            raise row


def checked_rows(
    data: DataSettings, first: int = 0, max_pixels: int | None = None
) -> Iterator[tuple[int, Row | UserError]]:
    """Stored rows from number `first` (from 0) on, each with the number of the next and checked, or with what is wrong.

    A row is bad, in one line that names it, without question or answer; with half a character, a placeholder of a
    chat template, or more `<image>` than pictures; with a picture that cannot be read (`cells.picture`) or shown, or
    with more than LARGEST pixels in all. Pictures above SHOWN pixels are stored at most `max_pixels` large.
    """
    columns.check(data)
    source = located(data)
    places = partial(cells.Places, root=source.root, allow_outside=data.allow_outside)
    raws = islice(enumerate(source.rows(columns.stored(data)), 1), first, None)

    def check(numbered: tuple[int, Raw]) -> Row | UserError:
        number, raw = numbered
        try:
            return _checked(number, raw, data, places(raw.folder), max_pixels)
        except UserError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(raws, CHUNK)):
            yield from zip((number for number, _ in chunk), pool.map(check, chunk), strict=True)


def check_usable(data: DataSettings, found: int, bad: list[str]) -> None:
    """Says how many rows were left out; raises UserError where none is left."""
    if bad and rank() == 0:
        print(f"{len(bad)} rows of {data.source} left out, the first: {bad[0].partition(': ')[0]}")
    if not found:
        raise UserError(f"{data.source} has no usable row: each needs a question and an answer, see data.columns")


def drawn_problems(seed: int) -> Iterator[Problem]:
    """The problems behind the drawn rows, in their order."""
    rng = Random(f"training-{seed}")
    while True:
        yield drawn_problem(rng)


def _drawn(source: str, seed: int) -> Iterator[Row]:
    for i, problem in enumerate(drawn_problems(seed)):
        text, images = question_text(problem), [problem.scene.picture()]
        if source == "synthetic-text":
            text, images = in_words(problem), []
        elif source == "synthetic-pairs":
            text, images = in_two_pictures(problem, 1 + i % 2)
        key = source.replace("synthetic", "drawn").replace("-", "_")
        row = {"id": f"{key}_{seed}_{i}", "question": text, "images": images, "sizes": [p.size for p in images]}
        # One of several valid ways, of a generator of its own: the problems stay those of their seed.
        way = Random(f"way-{seed}-{i}").choice(problem.ways)
        yield row | {"answer": problem.answer, "solution": problem.demonstrate(way=way)}


# --- checking -----------------------------------------------------------------------------------------------------


def _checked(number: int, raw: Raw, data: DataSettings, places: cells.Places, max_pixels: int | None) -> Row:
    found = {name: columns.cell(raw, data, name) for name in columns.COLUMNS}
    key = _text(found["id"]) or str(number)
    where = f"row {cells.shown(key)} of {data.source}"
    texts = {name: _text(found[name]) for name in ("question", "answer", "solution")}
    for name, text in texts.items():
        if text is None and name != "solution":
            raise UserError(f"{where} {columns.lacking(raw, found[name], name)}: {MEND}")
        if text and (placeholder := cells.PLACEHOLDER.search(text)):
            raise UserError(f"{where} says {placeholder[0]}, which stands for a picture, in its {name}: {MEND}")
    if broken := [name for name, text in (texts | {"id": key}).items() if text and cells.broken(text)]:
        raise UserError(f"{where} holds half a character (a lone surrogate) in its {broken[0]}: {MEND}")
    cell: Any = next(
        (found[name] for name in ("images", "image") if found[name] not in (columns.MISSING, None, [], "")), []
    )
    try:
        pictures = [cells.picture(value, places) for value in (cell if isinstance(cell, list) else [cell])]
        if len(pictures) > 1 and (pixels := sum(picture.header()[1] for picture in pictures)) > LARGEST:
            raise Unusable(f"{len(pictures)} pictures of {pixels // 1_000_000} million pixels in all")
        shown = [_shown(picture, max_pixels) for picture in pictures]
    except Unusable as error:
        raise UserError(f"{where}: its picture does not open ({error}): {MEND}") from None
    question, answer, solution = texts.values()
    assert question is not None and answer is not None
    if (placed := question.count(MARKER)) > len(shown):
        raise UserError(f"{where} says {MARKER} {placed} times and has {len(shown)} pictures: {MEND}")
    # What a teacher is told follows the question in the same turn, where a marker would place one more picture.
    told = {"answer": answer.replace(MARKER, "image"), "solution": solution and solution.replace(MARKER, "image")}
    images, sizes = [image for image, _ in shown], [size for _, size in shown]
    return {"id": key, "question": question, "images": images, "sizes": sizes, **told}


def _text(value: Any) -> str | None:
    """Text or a finite number as text; None for null, NaN, infinity, blanks and anything that is neither."""
    if not isinstance(value, str | int | float) or (isinstance(value, float) and abs(value) == float("inf")):
        return None
    return str(value) if value == value and str(value).strip() else None


def _shown(picture: Picture, max_pixels: int | None) -> tuple[bytes | Path, tuple[int, int]]:
    """The picture as it is stored where that is RGB and not huge (`datasets` turns it upright), else as `Picture.open`
    shows it; and its width and height, upright."""
    mode, pixels = picture.header()
    image = picture.open(max_pixels if pixels > SHOWN else None)
    if mode == "RGB" and pixels <= SHOWN and isinstance(picture.source, bytes | Path):
        return picture.source, image.size
    stream = io.BytesIO()
    image.save(stream, "png", compress_level=1)  # a huge one would take a minute
    return stream.getvalue(), image.size
