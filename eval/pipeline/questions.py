"""What was asked, kept beside the replies for whoever reads them later: question, gold answer, and a small picture."""

import io
from collections.abc import Sequence
from pathlib import Path

from eval.benches import BENCHES
from eval.core import tables
from eval.core.images import Picture
from eval.grading.score import Row

PICTURED = 40  # rows of a bench whose picture is kept: those that the report shows
SIDE = 288  # pixels of its longer side


def write(folder: Path, bench: str, rows: Sequence[Row]) -> None:
    """`questions.parquet`: id, question (as the prompt words it), gold, pictures (how many), picture (JPEG or none)."""
    import pyarrow

    found = BENCHES[bench]
    lines = [
        {
            "id": found.row_id(row),
            "question": found.prompt(row),
            "gold": found.gold(row) if row.get(found.answer) is not None else None,
            "pictures": len(found.shown(row)),
            "picture": _small(found.shown(row)) if i < PICTURED else None,
        }
        for i, row in enumerate(rows)
    ]
    kinds = {"id": "string", "question": "string", "gold": "string", "pictures": "int64", "picture": "binary"}
    tables.write_parquet(
        folder / "questions.parquet", pyarrow.Table.from_pylist(lines, schema=pyarrow.schema(list(kinds.items())))
    )


def _small(pictures: Sequence[Picture | None]) -> bytes | None:
    """The first picture, small; none where the row has none."""
    first = next((picture for picture in pictures if picture is not None), None)
    if first is None:
        return None
    image = first.open(SIDE * SIDE * 4)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60, optimize=True)
    return buffer.getvalue()
