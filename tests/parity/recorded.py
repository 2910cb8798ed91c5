"""The replies of other models in ../shared/bench-data, each with its row and the official scorer's verdict."""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from tests.support.paths import SHARED

DATA = SHARED / "bench-data"
SNIPPET = "curly_snippet_on_mathv_"  # ZeroBench's rule on replies to MATH-V, the only ones that are public

Row = dict[str, Any]


class Reply(NamedTuple):
    """A recorded reply; `correct` and `extracted` are the official scorer's, `line` is all that was recorded."""

    row: Row
    text: str
    extracted: str | None
    correct: bool
    line: Row


@cache
def lines(name: str) -> list[Row]:
    opener = gzip.open if name.endswith(".gz") else open
    with opener(DATA / name, "rt") as stream:
        return [json.loads(line) for line in stream]


def edges(bench: str) -> list[Row]:
    rows: list[Row] = json.loads((DATA / "edge_vectors" / f"{bench}_official.json").read_text())
    return rows


def files(bench: str) -> list[str]:
    """The models whose replies to a bench are recorded; none without the data."""
    found = sorted(f.name.removesuffix(".jsonl.gz") for f in (DATA / bench / "dev").glob("*.jsonl.gz"))
    return [name for name in found if name != "official_correct_of_5"]


def mmmu_rows() -> dict[str, Row]:
    rows = {}
    for row in lines("mmmu/annotations_val900.jsonl.gz"):
        kind = "multiple-choice" if row["question_type"] == "multiple-choice" else "open"
        rows[row["id"]] = {**row, "question_type": kind, "options": list((row.get("index2ans") or {}).values())}
    return rows


def replies(bench: str, file: str) -> Iterator[Reply]:
    found = lines(f"{bench}/dev/{file}.jsonl.gz")
    if bench == "mmmu":
        rows = mmmu_rows()
        for r in found:
            drawn = r["official_random_fallback"]
            letter = None if drawn or r["question_type"] != "multiple-choice" else r["official_parsed"]
            yield Reply(rows[r["id"]], r["response"], letter, r["official_correct"], r)
    elif bench == "mathvista":
        rows = {row["pid"]: row for row in lines("mathvista/annotations_testmini1000.jsonl.gz")}
        for r in found:
            yield Reply(rows[r["pid"]], r["response"], r["head_prediction"], r["head_true_false"], r)
    elif bench == "mathvision":
        rows = {row["id"]: row for row in lines("mathvision/annotations_test3040.jsonl.gz")}
        for r in found:
            yield Reply(rows[r["id"]], r["response"], r["rerun_model_answer"] or None, r["rerun_correct"], r)
    elif bench == "zerobench":
        spoken = {r["id"]: r["response"] for r in lines(f"mathvision/dev/{file.removeprefix(SNIPPET)}.jsonl.gz")}
        for r in found:
            row = {"question_id": r["mathv_id"], "question_answer": r["ground_truth"]}
            yield Reply(row, spoken[r["mathv_id"]], r["official_parsed"] or None, r["official_correct"], r)
    else:
        for r in found:
            yield Reply(r, r["response"], r["official_processed_answer"], r["official_joker"], r)
