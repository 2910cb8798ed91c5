"""The files of an evaluation: identities, and what a stored result may stand for."""

from pathlib import Path
from typing import Any

from eval.benches import BENCHES
from eval.core import files, manifest, tables
from eval.core.differences import differences
from eval.core.errors import UserError
from eval.data.load import doc_hash
from eval.grading.score import Row

# What a model is loaded from: a checkpoint holds more, with times in it.
MODEL_FILES = ("model*.safetensors", "adapter*.safetensors", "pytorch_model*.bin", "*.json", "*.jinja", "*.txt")
NO_MODEL = ("trainer_state.json", manifest.NAME)
COLUMNS = {  # of samples.parquet, by their Arrow types
    "id": "string",
    "sample": "int64",
    **dict.fromkeys(("doc_hash", "prompt_hash", "cluster", "reply", "extracted", "wrapper"), "string"),
    **dict.fromkeys(("parsed", "correct"), "bool"),
    "tokens": "int64",
    "finish": "string",
}


def model_id(model: str) -> str:
    """Identifies a model by content; a hub id stands for itself."""
    folder = Path(model)
    found = {file for pattern in MODEL_FILES for file in folder.glob(pattern) if file.name not in NO_MODEL}
    return files.files_hash(found) if folder.is_dir() else model


def read_result(folder: Path) -> dict[str, Any] | None:
    """A stored result, None if there is none; raises UserError for a file that this program did not write."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    result = files.read_object(path)
    if result and isinstance(result.get("identity"), dict) and (folder / "samples.parquet").is_file():
        return result
    raise UserError(f"{path}: no complete result of this program; choose another output folder or remove it")


def refuse_other(folder: Path, stored: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raises UserError naming what differs between the stored result's identity and the one asked for."""
    if differs := differences(stored, asked):
        versions = {difference.partition(" ")[0] for difference in differs} <= {"task_version", "grader_version"}
        mend = "pass --regrade" if versions else "choose another output folder"
        raise UserError(f"{folder} holds another evaluation ({'; '.join(differs)}); {mend}")


def write_bench(folder: Path, result: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    """Samples first, result last: a folder with a result.json is complete. Raises UserError on a full disk.

    One sample a reply, ordered by row, then sample number.
    """
    import pyarrow

    table = pyarrow.Table.from_pylist(samples, schema=pyarrow.schema(list(COLUMNS.items())))
    tables.write_parquet(folder / "samples.parquet", table)
    files.write_json(folder / "result.json", result)


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The lines of `samples.parquet`, as `write_bench` took them."""
    import pyarrow.parquet

    return list(pyarrow.parquet.read_table(folder / "samples.parquet").to_pylist())


def samples_of(folder: Path, bench: str, rows: list[Row]) -> list[list[dict[str, Any]]]:
    """The stored samples of each row; raises UserError where they answer other rows."""
    stored = read_samples(folder)
    n = max(1, len(stored) // len(rows))
    asked = [(BENCHES[bench].row_id(row), sample, doc_hash(bench, row)) for row in rows for sample in range(n)]
    if [(s["id"], s["sample"], s["doc_hash"]) for s in stored] != asked:
        raise UserError(
            f"{folder}: its replies are to other rows than are there now; give --data those, or evaluate anew"
        )
    return [stored[i : i + n] for i in range(0, len(stored), n)]
