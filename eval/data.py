"""Rows of a bench: from the hub, drawn (mini), or from a local file or folder in the official schema."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from eval.grading import BENCHES, wemath
from eval.grading.score import Row
from eval.mini import mini_rows
from eval.pictures import Picture
from eval.schema import ANSWER, OFFICIAL, PICTURES, REQUIRED
from runners.errors import UserError

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json")


class Raw(NamedTuple):
    """A row as stored, and where it stands; relative picture paths start at `folder`."""

    row: Row
    where: str
    folder: Path


class Data(NamedTuple):
    """Rows in official columns with `Picture`s in the picture columns; `skipped` counts bad rows left out."""

    rows: list[Row]
    skipped: int


class BadRow(Exception):
    """One row cannot be used; the message says why."""


def edition(data: str) -> str:
    """What a score was measured on: only `official` may be called the bench's."""
    return {"mini": "mini", "hub": "official"}.get(data, "local")


def fingerprint(bench: str, data: str) -> str:
    """Identifies the data without reading a picture: a second evaluation of the same data does no work."""
    if data in ("mini", "hub"):
        return data
    digest = hashlib.sha256()
    for file in _files(bench, Path(data)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def load(bench: str, data: str, limit: int | None = None, skip_bad: bool = False) -> Data:
    """The rows of one bench, checked, with `limit` applied (We-Math: whole problems).

    Raises UserError for data that cannot be had, and for a row without picture, answer or column, or with a
    corrupt picture; with `skip_bad` such rows are left out and counted (We-Math: with the rest of their problem).
    """
    raws = list(_raw(bench, data))
    if limit is not None:
        raws = _limited(bench, raws, limit)
    rows: list[Row] = []
    bad: list[str] = []
    seen: set[str] = set()
    for raw in raws:
        try:
            row = _checked(bench, raw)
            if (row_id := BENCHES[bench].row_id(row)) in seen:
                raise BadRow(f"its id {row_id} occurs twice")
            seen.add(row_id)
            rows.append(row)
        except BadRow as error:
            bad.append(f"{raw.where}: {error}")
    if bad and not skip_bad:
        more = f" ({len(bad) - 1} more rows are bad)" if len(bad) > 1 else ""
        raise UserError(f"{bad[0]}{more}; mend the data or pass --skip-bad-rows")
    if bench == "wemath":
        rows = _whole_problems(rows, data, skip_bad)
    if not rows:
        raise UserError(f"{bench}: no usable row in {data}; check --data")
    return Data(rows, len(raws) - len(rows))


def _whole_problems(rows: list[Row], data: str, skip_bad: bool) -> list[Row]:
    lacking = wemath.incomplete(rows)
    if lacking and not skip_bad:
        problem, keys = next(iter(lacking.items()))
        raise UserError(
            f"{data}: We-Math problem {problem} lacks {', '.join(sorted(keys))}; add them or pass --skip-bad-rows"
        )
    return [row for row in rows if wemath.problem_of(row) not in lacking]


def _limited(bench: str, raws: list[Raw], limit: int) -> list[Raw]:
    """The first rows; of We-Math the first problems, whole, while their rows fit (at least one problem)."""
    if bench != "wemath":
        return raws[:limit]
    by_problem: dict[str, list[Raw]] = {}
    for raw in raws:
        by_problem.setdefault(str(raw.row.get("ID")), []).append(raw)
    kept: list[Raw] = []
    for problem in by_problem.values():
        if kept and len(kept) + len(problem) > limit:
            break
        kept += problem
    return kept


def _raw(bench: str, data: str) -> Iterator[Raw]:
    if data == "mini":
        for n, row in enumerate(mini_rows(bench), 1):
            yield Raw(row, f"mini {bench} row {n}", Path())
    elif data == "hub":
        yield from _hub_rows(bench)
    else:
        for file in _files(bench, Path(data)):
            for n, row in enumerate(_read(file), 1):
                yield Raw(row, f"{file} row {n}", file.parent)


def _hub_rows(bench: str) -> Iterator[Raw]:
    import datasets

    spec = BENCHES[bench]
    for config in spec.configs or (None,):
        try:
            table = datasets.load_dataset(spec.hub, config, split=spec.split)
        except Exception as error:  # network, gate, missing split: whatever it is, the user mends it the same way
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(
                f"{bench}: cannot load {spec.hub} from the hub ({reason[:160]}); check the network and the data set's "
                "terms, or use --data mini or --data <local file or folder>"
            ) from error
        for name, feature in table.features.items():
            undecoded = _undecoded(feature, datasets)
            if undecoded is not None:
                table = table.cast_column(name, undecoded)
        for n, row in enumerate(table, 1):
            yield Raw(row, f"{spec.hub} {config or spec.split} row {n}", Path())


def _undecoded(feature: Any, datasets: Any) -> Any:
    """The feature with its pictures left encoded, None for a column without pictures."""
    plain = datasets.Image(decode=False)
    if isinstance(feature, datasets.Image):
        return plain
    inner = feature[0] if isinstance(feature, list) else feature.feature if isinstance(feature, datasets.List) else None
    return datasets.List(plain) if isinstance(inner, datasets.Image) else None


def _files(bench: str, path: Path) -> list[Path]:
    """The data files of a bench at a path: the file itself, or those of the first kind found under a folder."""
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise UserError(f"{path}: no data file; give one of {', '.join(SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise UserError(f"--data {path}: no such file or folder; give hub, mini or a local path")
    folder = path / bench if (path / bench).is_dir() else path
    for suffix in SUFFIXES:
        if found := sorted(f for f in folder.rglob(f"*{suffix}") if f.is_file()):
            split = BENCHES[bench].split
            return [f for f in found if f.name.startswith(split)] or found
    raise UserError(f"{folder}: holds no data file; give a folder with one of {', '.join(SUFFIXES)}")


def _read(file: Path) -> list[Row]:
    """The rows of one file; raises UserError if it is not what its name says."""
    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_table(file).to_pylist())
        text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()
        rows = (
            json.loads(text)
            if file.suffix == ".json"
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{file}: not readable as {file.suffix[1:]} ({str(error).splitlines()[0]}); mend the file"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{file}: holds no list of rows; each row must be a JSON object")
    return rows


def _checked(bench: str, raw: Raw) -> Row:
    """The row in official columns with every picture opened once; raises BadRow."""
    row = OFFICIAL[bench](raw.row)
    missing = [c for c in REQUIRED[bench] if row.get(c) is None]
    if ANSWER[bench] in missing:
        raise BadRow("has no answer")
    if missing:
        raise BadRow(f"has no column {missing[0]} (columns: {', '.join(sorted(raw.row))})")
    count = 0
    for column in PICTURES[bench]:
        cell = row.get(column)
        pictures = [_picture(raw, value) for value in (cell if isinstance(cell, list) else [cell]) if value is not None]
        count += len(pictures)
        row[column] = pictures if isinstance(cell, list) else pictures[0] if pictures else None
    if not count:
        raise BadRow("has no image")
    if bench == "mmmu":
        from eval.tasks.mmmu.utils import doc_to_image

        if None in doc_to_image(row):
            raise BadRow("names an image in its text that it does not hold")
    return row


def _picture(raw: Raw, value: Any) -> Picture:
    """The picture behind a cell: a decoded image, {bytes, path} as parquet stores it, or a path."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    picture = Picture(_find(raw.folder, value) if isinstance(value, str) else value)
    if not isinstance(picture.source, bytes | Path | Image.Image):
        raise BadRow(f"has no image, but {type(value).__name__}")
    try:
        picture.open()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        name = picture.source if isinstance(picture.source, Path) else "its image"
        raise BadRow(f"has a corrupt picture ({name}: {str(error)[:80]})") from error
    return picture


def _find(folder: Path, name: str) -> Path:
    """A picture beside its data file, below it, or in a folder that the path names from one level up."""
    for candidate in (
        folder / name,
        folder / Path(name).name,
        folder.parent / name,
        folder / "images" / Path(name).name,
    ):
        if candidate.is_file():
            return candidate
    raise BadRow(f"has no image: {name} is not beside the data file")


def doc_hash(bench: str, row: Row) -> str:
    """Identifies a row by its text and its pictures' content."""
    digest = hashlib.sha256()
    for column in sorted(row):
        cell = row[column]
        digest.update(column.encode())
        if column in PICTURES[bench]:
            for picture in cell if isinstance(cell, list) else [cell]:
                digest.update(picture.content() if picture is not None else b"")
        else:
            digest.update(json.dumps(cell, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]
