"""The official columns of each bench, and the small set of other spellings that local files may use.

Each `_<bench>` turns one raw row into the official columns; pictures become lists of raw values (an image cell, a
path), which `eval.data` opens. What is read where, first found first:

bench       official column           other spellings
mmmu        all                       the question inside `mmmu_pro_question`, id, options and answer of the
                                      validation set inside `mmmu_val` (`index2ans`), or `mmmu_id`
mathvista   decoded_image             file, image (paths)
mathvision  decoded_image             file, image (paths)
zerobench   question_images_decoded   file, question_images (paths)
            question_text             website_text
            question_answer           answer
            question_id               the picture's file name
wemath      image_path (a picture)    file, image_path (paths), image
"""

from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from eval.grading.score import Row

PICTURES = {
    "mmmu": tuple(f"image_{n}" for n in range(1, 8)),
    "mathvista": ("decoded_image",),
    "mathvision": ("decoded_image",),
    "zerobench": ("question_images_decoded",),
    "wemath": ("image_path",),
}
REQUIRED = {
    "mmmu": ("id", "question", "options", "question_type", "answer"),
    "mathvista": ("pid", "query", "question_type", "answer_type", "answer"),
    "mathvision": ("id", "question", "options", "answer", "level", "subject"),
    "zerobench": ("question_id", "question_text"),
    "wemath": ("ID", "key", "question", "option", "answer"),
}
ANSWER = {
    "mmmu": "answer",
    "mathvista": "answer",
    "mathvision": "answer",
    "zerobench": "question_answer",
    "wemath": "answer",
}


def _first(row: Row, *columns: str) -> Any:
    return next((row[c] for c in columns if row.get(c) is not None), None)


def _mmmu(row: Row) -> Row:
    question = row.get("mmmu_pro_question")
    if question is None:
        row = dict(row)
    else:
        val = row.get("mmmu_val") or {}
        options = list(val["index2ans"].values()) if val.get("index2ans") else question.get("options")
        row = {
            **{f"image_{n}": question.get(f"image_{n}") for n in range(1, 8)},
            "id": val.get("id") or row.get("mmmu_id") or _stem(question.get("image_1")),
            "question": question.get("question"),
            "options": options,
            "answer": _first(val, "answer") or question.get("answer"),
            "question_type": val.get("question_type") or ("multiple-choice" if options else "open"),
        }
    if isinstance(row.get("options"), list):
        row["options"] = str(row["options"])
    if row.get("question_type") == "short-answer":  # the spelling of the official answer file
        row["question_type"] = "open"
    if row.get("image_1") is not None and row.get("question") and "<image " not in f"{row['question']}{row['options']}":
        row["question"] = f"<image 1> {row['question']}"
    return row


def _stem(path: Any) -> str | None:
    return PurePath(path).stem if isinstance(path, str) else None


def _math(row: Row) -> Row:
    return {**row, "decoded_image": _first(row, "decoded_image", "file", "image")}


def _zerobench(row: Row) -> Row:
    pictures = _first(row, "question_images_decoded", "file", "question_images")
    return {
        **row,
        "question_id": _first(row, "question_id") or _stem(row.get("file")),
        "question_text": _first(row, "question_text", "website_text"),
        "question_answer": _first(row, "question_answer", "answer"),
        "question_images_decoded": pictures if isinstance(pictures, list) else [pictures] if pictures else [],
    }


def _wemath(row: Row) -> Row:
    return {**row, "image_path": _first(row, "file", "image_path", "image")}


OFFICIAL: dict[str, Callable[[Row], Row]] = {
    "mmmu": _mmmu,
    "mathvista": _math,
    "mathvision": _math,
    "zerobench": _zerobench,
    "wemath": _wemath,
}
