"""Where training data lie: their files, their rows as stored, and what identifies their contents."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from eval.benches.drawn import drawn_problem
from eval.core import cells, files
from eval.core.errors import UserError
from eval.core.images import Unusable
from eval.core.tables import Raw, hub_table, read_files, read_hub, training_files
from runners.data import columns
from runners.run.config import DataSettings, Settings

DRAWN = ("synthetic", "synthetic-text", "synthetic-pairs")
MEND = "mend it, or set data.skip_bad_rows=true"  # of a bad row
ELSEWHERE = "set data.source to a file, another hub id, or synthetic"


class Source(NamedTuple):
    """Stored training data: files, the folder that pictures may not leave, and the rows with some of their columns."""

    files: list[Path]
    root: Path
    rows: Callable[[Collection[str]], Iterator[Raw]]


def located(data: DataSettings) -> Source:
    """Of data that are not drawn. Raises UserError where they are not there."""
    if (found := training_files(data.source, data.split)) is not None:
        path = Path(data.source)
        return Source(found, path if path.is_dir() else path.parent, partial(read_files, found))
    table = hub_table(data.source, data.split, ELSEWHERE)
    stored = [Path(file["filename"]) for file in table.cache_files]
    return Source(stored, Path(), lambda wanted: read_hub(data.source, data.split, ELSEWHERE, columns=wanted))


def cache_folder() -> Path:
    """Beside what `datasets` keeps, and where HF_DATASETS_CACHE or HF_HOME say; it may be removed at any time."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    folder = os.environ.get("HF_DATASETS_CACHE") or os.path.join(home, "datasets")
    return Path(folder).expanduser() / "vlm-posttrain-bench"


# --- contents -----------------------------------------------------------------------------------------------------


def data_hash(settings: Settings) -> str:
    """Of the contents of a run's training data, 16 hex digits: all bytes of the data files, and of every picture that
    their rows name. Of drawn data, what is drawn.

    Hashed once: as long as no file's size and times change, a note in the cache holds it. Raises UserError where the
    data cannot be read.
    """
    data = settings.data
    if data.source in DRAWN:
        problems = [drawn_problem(Random(n)) for n in range(8)]
        return files.text_hash(f"{data.source} {problems} {problems[0].scene.picture().tobytes()!r}")
    source = located(data)
    read = json.dumps([sorted(data.columns.items()), data.allow_outside])
    note = cache_folder() / "hashes" / f"{files.text_hash(f'{state(source.files)} {read}')}.json"
    known = files.read_object(note)
    if known and known["state"] == state(map(Path, known["pictures"])):
        return str(known["hash"])
    pictures = sorted(set(_pictures(data, source)))
    before, digest = state(pictures), hashlib.sha256()
    for path in (*source.files, *pictures):
        try:
            digest.update(files.content_hash([path]).encode())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    found = digest.hexdigest()[:16]
    with suppress(UserError):  # where nothing can be noted, it is hashed again
        files.write_json(note, {"hash": found, "state": before, "pictures": list(map(str, pictures))})
    return found


def state(paths: Iterable[Path]) -> str:
    """Of the files, what changes when they are written to: names, sizes and times."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            found = path.stat()
            times = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        except OSError:
            times = "absent"
        digest.update(f"{path}\0{times}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _pictures(data: DataSettings, source: Source) -> Iterator[Path]:
    """The files that the rows name."""
    wanted = {data.columns.get(name, name) for name in ("image", "images")}
    for raw in source.rows({*wanted, "image", "images", *(path.split(".")[0] for path in wanted)}):
        places = cells.Places(raw.folder, source.root, data.allow_outside)
        for name in ("image", "images"):
            cell = columns.cell(raw, data, name)
            for value in cell if isinstance(cell, list) else [cell]:
                if (path := _named(value, places)) is not None:
                    yield path


def _named(value: object, places: cells.Places) -> Path | None:
    if isinstance(value, dict) and not value.get("bytes"):
        value = value.get("path")
    if not isinstance(value, str):
        return None
    try:
        found = cells.picture(value, places).source
    except Unusable:
        return None
    return found if isinstance(found, Path) else None
