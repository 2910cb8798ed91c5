"""Training prompts: drawn, from a hub, or from local files. One row = prompt, images, answer, solution, id."""

import random
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, List, Value, load_dataset
from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from runners.config import Settings
from runners.errors import UserError
from runners.prompts import student_text
from runners.synthetic import drawn_problem, question_text

FEATURES = Features(
    {
        "id": Value("string"),
        "prompt": [{"role": Value("string"), "content": Value("string")}],
        "images": List(Image()),
        "answer": Value("string"),
        "solution": Value("string"),
    }
)
SUFFIXES = {".jsonl": "json", ".json": "json", ".gz": "json", ".parquet": "parquet"}
Row = dict[str, Any]


def training_rows(settings: Settings) -> Dataset:
    """One row per prompt of the run, in the order in which every method sees them.

    Raises UserError naming the row and the mend where a row has no picture, no answer, or a picture that does not
    open; with `data.skip_bad_rows` such rows are left out and counted.
    """
    needed = settings.train.steps * settings.train.prompts
    source = settings.data.source
    rows = _drawn(needed, settings.seed) if source == "synthetic" else _stored(settings)
    if len(rows) < needed:  # further epochs, in the same order
        rows = [rows[i % len(rows)] for i in range(needed)]
    return Dataset.from_list(rows[:needed], features=FEATURES)


def _drawn(n: int, seed: int) -> list[Row]:
    rng = random.Random(f"training-{seed}")
    rows = []
    for i in range(n):
        problem = drawn_problem(rng)
        rows.append(_row(f"drawn_{seed}_{i}", question_text(problem), [problem.scene.picture()], problem.answer, None))
    return rows


def _row(key: str, question: str, images: list[Any], answer: str, solution: str | None) -> Row:
    prompt = [{"role": "user", "content": student_text(question)}]
    return {"id": key, "prompt": prompt, "images": images, "answer": answer, "solution": solution}


def _stored(settings: Settings) -> list[Row]:
    source, folder = settings.data.source, Path(settings.data.source).parent
    rows, bad = [], 0
    for i, raw in enumerate(_load(source, settings.data.split)):
        try:
            rows.append(_checked(raw, f"row {raw.get('id', i)} of {source}", folder))
        except UserError:
            if not settings.data.skip_bad_rows:
                raise
            bad += 1
    if bad:
        print(f"{bad} rows of {source} left out: no answer, no picture, or a picture that does not open")
    if not rows:
        raise UserError(f"{source} has no usable row: it needs question, answer and image(s) columns")
    return rows


def _load(source: str, split: str) -> Any:
    path = Path(source)
    try:
        if not path.exists():
            return load_dataset(source, split=split)
        kind = SUFFIXES.get(path.suffix)
        if kind is None:
            raise UserError(f"{source}: training data is .jsonl, .json(.gz) or .parquet")
        return load_dataset(kind, data_files=str(path), split="train")
    except UserError:
        raise
    except Exception as error:  # whatever a hub client or a parser raises, the user mends the source
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"cannot load {source!r} ({reason}): set data.source to a local file, or synthetic") from None


def _checked(raw: Row, where: str, folder: Path) -> Row:
    question, answer = raw.get("question"), raw.get("answer")
    if not question:
        raise UserError(f"{where} has no question: add one, or set data.skip_bad_rows=true")
    if answer is None or not str(answer).strip():
        raise UserError(f"{where} has no answer: add one, or set data.skip_bad_rows=true")
    images = raw.get("images") or [raw.get("image")]
    opened = [_picture(image, where, folder) for image in images]
    return _row(str(raw.get("id", where)), question, opened, str(answer), raw.get("solution"))


def _picture(image: Any, where: str, folder: Path) -> Any:
    if image is None:
        raise UserError(f"{where} has no image: add one, or set data.skip_bad_rows=true")
    try:
        picture = Pictures.open(folder / image) if isinstance(image, str) else image
        return picture.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        raise UserError(f"{where}: its picture does not open: replace it, or set data.skip_bad_rows=true") from None
