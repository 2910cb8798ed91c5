"""Data that several files evaluate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.data.load import load


@pytest.fixture
def local_rows(tmp_path: Path) -> Callable[..., Path]:
    """Mini ZeroBench rows as a local file with pictures beside it."""

    def write(n: int, **other: Any) -> Path:
        (tmp_path / "pictures").mkdir()
        lines = []
        for i, row in enumerate(load("zerobench", "mini", limit=n).rows):
            row["question_images_decoded"][0].open().save(tmp_path / "pictures" / f"{i}.png")
            row |= {"question_images_decoded": None, "question_images": [f"pictures/{i}.png"], **other}
            lines.append(json.dumps(row))
        file = tmp_path / "rows.jsonl"
        file.write_text("\n".join(lines))
        return file

    return write
