"""The replies of a bench that is being asked: a line each, as they come, so that a killed evaluation goes on there.

`replies.jsonl` begins with a line on whose replies they are; parallel workers write `replies.<worker>.jsonl` beside it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from eval.core import files
from eval.core.errors import UserError
from eval.pipeline.results import refuse_other

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
    rows, damaged, _ = files.read_lines(path)
    if not rows and not damaged:  # killed before the first line was whole
        return Kept({}, None)
    first, *answers = rows or [{}]
    header = isinstance(first.get("identity"), dict) and "generation" in first
    if damaged or not header or not all(answer.keys() >= FIELDS for answer in answers):
        raise UserError(f"{path}: not the replies of a broken-off evaluation; remove it or choose another folder")
    refuse_other(path, first["identity"], identity)
    return Kept({(answer["id"], answer["sample"]): answer for answer in answers}, first["generation"])


def merge(folder: Path, identity: dict[str, Any]) -> Kept:
    """Everything that is kept in the folder, and one whole `replies.jsonl` of it. Only while no worker is running."""
    workers = sorted(folder.glob("replies.*.jsonl"))
    parts = [read(path, identity) for path in (main_file(folder), *workers)]
    answers = {key: answer for part in parts for key, answer in part.answers.items()}
    generation = next((part.generation for part in parts if part.generation), None)
    if generation and workers:
        files.write(main_file(folder), files.lines_text([_header(identity, generation), *answers.values()]))
    for path in workers if generation else [*workers, main_file(folder)]:
        path.unlink(missing_ok=True)
    return Kept(answers, generation)


def append(path: Path, identity: dict[str, Any], generation: dict[str, Any], answers: Iterable[Answer]) -> None:
    """Adds answers to a file of `merge`d replies, whole lines at a time. Raises UserError on a full disk."""
    begun = path.exists() and path.stat().st_size
    files.append_lines(path, [*([] if begun else [_header(identity, generation)]), *answers])


def _header(identity: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    return {"identity": identity, "generation": generation}
