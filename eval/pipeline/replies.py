"""The replies of a bench that is being asked: a line each, as they come, so that a killed evaluation goes on there.

`replies.jsonl` begins with a line on whose replies they are; parallel workers write `replies.<worker>.jsonl` beside it.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from eval.core.errors import UserError
from eval.pipeline import results as files

FIELDS = {"id", "sample", "doc_hash", "prompt_hash", "text", "tokens", "finish"}
Answer = dict[str, Any]  # one line: FIELDS


class Kept(NamedTuple):
    """Answers by row id and sample, and the sampling that the engine applied (None where nothing is kept)."""

    answers: dict[tuple[str, int], Answer]
    generation: dict[str, Any] | None


def main_file(folder: Path) -> Path:
    return folder / "replies.jsonl"


def worker_file(folder: Path, worker: int) -> Path:
    return folder / f"replies.{worker}.jsonl"


def read(path: Path, identity: dict[str, Any]) -> Kept:
    """What a file keeps; a last line that a kill has torn is none.

    Raises UserError for replies to other questions or settings, naming what differs, and for a foreign file.
    """
    if not path.exists():
        return Kept({}, None)
    try:
        whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        first, *rest = [json.loads(line) for line in whole] or [{"identity": None}]
        sound = first["identity"] is None or all(line.keys() >= FIELDS for line in rest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise UserError(f"{path}: not the replies of a broken-off evaluation; remove it or choose another folder")
    if first["identity"] is None:  # killed before the first line was whole
        return Kept({}, None)
    files.refuse_other(path, first["identity"], identity)
    return Kept({(line["id"], line["sample"]): line for line in rest}, first["generation"])


def merge(folder: Path, identity: dict[str, Any]) -> Kept:
    """Everything that is kept in the folder, and one whole `replies.jsonl` of it. Only while no worker is running."""
    workers = sorted(folder.glob("replies.*.jsonl"))
    parts = [read(path, identity) for path in (main_file(folder), *workers)]
    answers = {key: answer for part in parts for key, answer in part.answers.items()}
    generation = next((part.generation for part in parts if part.generation), None)
    if generation and (workers or torn(main_file(folder))):
        temporary = folder / ".replies.jsonl.tmp"
        with files.told_when_full(folder, temporary):
            temporary.write_text(_lines([_header(identity, generation), *answers.values()]))
            os.replace(temporary, main_file(folder))
    for path in workers if generation else [*workers, main_file(folder)]:
        path.unlink(missing_ok=True)
    return Kept(answers, generation)


def torn(path: Path) -> bool:
    """True where the file does not end with a whole line: what is appended would be lost with it."""
    return not path.read_bytes().endswith(b"\n")


class Writer:
    """Appends answers to a file of `merge`d replies, whole lines at a time. A context manager."""

    def __init__(self, path: Path, identity: dict[str, Any], generation: dict[str, Any]) -> None:
        self._path = path
        self._header = _header(identity, generation)

    def __enter__(self) -> "Writer":
        with files.told_when_full(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what is written is there after a kill, and a full disk is met here and not on closing.
            self._stream = self._path.open("ab", buffering=0)
        return self

    def append(self, answers: Iterable[Answer]) -> None:
        """Raises UserError on a full disk."""
        lines = [*answers] if self._stream.tell() else [self._header, *answers]
        rest = memoryview(_lines(lines).encode())
        with files.told_when_full(self._path.parent):
            while rest:
                rest = rest[self._stream.write(rest) :]

    def __exit__(self, *_: Any) -> None:
        self._stream.close()


def _header(identity: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    return {"identity": identity, "generation": generation}


def _lines(lines: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
