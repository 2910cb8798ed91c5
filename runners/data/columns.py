"""Which of a data set's columns are ours: by name, or by a path into a nested one.

`data.columns.question=prompt.-1.content` reads the last message of verl's `prompt`, and
`data.columns.answer=conversations.1.value` the second turn of LLaVA's. A column of that very name comes first; where a
row lacks theirs, ours is looked up.
"""

import re
from collections.abc import Mapping
from typing import Any

from eval.core.cells import shown
from eval.core.errors import UserError
from eval.core.tables import Raw
from runners.run.config import DataSettings

COLUMNS = ("id", "question", "answer", "solution", "image", "images")
MISSING = object()


def check(data: DataSettings) -> None:
    """Raises UserError for a name that is none of ours."""
    if unknown := [name for name in data.columns if name not in COLUMNS]:
        raise UserError(f"data.columns names {unknown[0]!r}: ours are {', '.join(COLUMNS)}")


def stored(data: DataSettings) -> set[str]:
    """The columns that have to be read."""
    return {*COLUMNS, *data.columns.values(), *(path.split(".")[0] for path in data.columns.values())}


def cell(raw: Raw, data: DataSettings, name: str) -> Any:
    """What a row holds of our column `name`; MISSING where it has no such column."""
    found = _at(raw.row, data.columns.get(name, name))
    return raw.row.get(name, MISSING) if found is MISSING else found


def _at(row: Any, path: str) -> Any:
    if path in row:
        return row[path]
    for part in path.split("."):
        if isinstance(row, Mapping) and part in row:
            row = row[part]
        elif isinstance(row, list) and re.fullmatch(r"-?\d{1,6}", part) and -len(row) <= int(part) < len(row):
            row = row[int(part)]
        else:
            return MISSING
    return row


def lacking(raw: Raw, value: Any, name: str) -> str:
    """Why a row has no usable `name`, and what mends it."""
    if value is MISSING:
        held = raw.columns
        said = ", ".join(map(shown, held[:16])) + (", …" if len(held) > 16 else "")
        return f"has no {name}: its columns are {said}; say which with data.columns.{name}=…, see docs/data.md"
    if isinstance(value, list | dict):
        example = "conversations.0.value" if isinstance(value, list) else "reward_model.ground_truth"
        return (
            f"has no {name} that is text, but a {type(value).__name__}: give the path, as data.columns.{name}={example}"
        )
    return f"has no {name} that is text or a finite number"
