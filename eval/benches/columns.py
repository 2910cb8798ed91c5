"""The official columns of each bench, and the small set of other spellings that local files may use.

Each `_<bench>` turns one raw row into the official columns; pictures become lists of raw values (an image cell, a
path), which `eval.data.load` opens. What is read where, first found first:

bench       official column           other spellings
mmmu        all                       the question inside `mmmu_pro_question`, id, options and answer of the
                                      validation set inside `mmmu_val`, or `mmmu_id`
            options                   index2ans (letter -> option)
            question_type             `short-answer` for `open`
mathvista   decoded_image             file, image (paths)
mathvision  decoded_image             file, image (paths)
zerobench   question_images_decoded   file, question_images (paths)
            question_text             website_text
            question_answer           answer
            question_id               the picture's file name
wemath      image_path (a picture)    file, image_path (paths), image
"""

import ast
import re
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
# What grading and aggregation read, and what a prompt needs besides.
GRADED = {
    "mmmu": ("id", "question_type"),
    "mathvista": ("pid", "question_type", "answer_type"),
    "mathvision": ("id", "options", "level", "subject"),
    "zerobench": ("question_id",),
    "wemath": ("ID", "key"),
}
ASKED = {
    "mmmu": ("question", "options"),
    "mathvista": ("query",),
    "mathvision": ("question",),
    "zerobench": ("question_text",),
    "wemath": ("question", "option"),
}
ANSWER = {
    "mmmu": "answer",
    "mathvista": "answer",
    "mathvision": "answer",
    "zerobench": "question_answer",
    "wemath": "answer",
}
_HIDDEN = ("", "?")  # what MathVista's and MMMU's test splits hold in place of the answer
_WEMATH_KEY = re.compile(r"[1-9]steps_([1-9]|multi)")


def fault(bench: str, row: Row) -> str | None:
    """Why a row in official columns cannot be graded although its columns are there; None for a sound row."""
    if bench == "mmmu" and row["question_type"] == "multiple-choice":
        options = row.get("options")
        try:
            options = ast.literal_eval(options) if isinstance(options, str) else options
        except (ValueError, SyntaxError):
            options = None
        return None if isinstance(options, list) and options else "is multiple-choice but has no list of options"
    if bench == "mathvista":
        if row["question_type"] == "multi_choice" and not isinstance(row.get("choices"), list):
            return "is multi_choice but has no list of choices"
        if row["answer_type"] == "float" and not isinstance(row.get("precision"), int | float):
            return "has a float answer but no precision"
    if bench == "mathvision" and not isinstance(row["options"], list):
        return "has options that are no list"
    if bench == "wemath" and not _WEMATH_KEY.fullmatch(str(row["key"])):
        return f"has the key {row['key']!r}, not one such as 2steps_1 or 3steps_multi"
    return None


def official(bench: str, row: Row) -> Row:
    """The row in the bench's official columns; its answer is text (or a list of texts), None where it is hidden."""
    row = _OFFICIAL[bench](row)
    answer = row.get(ANSWER[bench])
    if isinstance(answer, int | float):
        answer = str(answer)  # official answers are text, and compared as text
    row[ANSWER[bench]] = None if isinstance(answer, str) and answer.strip() in _HIDDEN else answer
    return row


def _first(row: Row, *columns: str) -> Any:
    return next((row[c] for c in columns if row.get(c) is not None), None)


def _mmmu(row: Row) -> Row:
    question = row.get("mmmu_pro_question")
    if question is None:
        row = dict(row)
    else:
        val = row.get("mmmu_val") or {}
        options = _lettered(val) or question.get("options")
        row = {
            **{f"image_{n}": question.get(f"image_{n}") for n in range(1, 8)},
            "id": val.get("id") or row.get("mmmu_id") or _stem(question.get("image_1")),
            "question": question.get("question"),
            "options": options,
            "answer": _first(val, "answer") or question.get("answer"),
            "question_type": val.get("question_type") or ("multiple-choice" if options else "open"),
        }
    if row.get("options") is None:
        row["options"] = _lettered(row)
    if isinstance(row["options"], list):
        row["options"] = str(row["options"])
    if row.get("question_type") == "short-answer":  # the spelling of the official answer file
        row["question_type"] = "open"
    if row["options"] is None and row.get("question_type") == "open":
        row["options"] = "[]"
    if row.get("image_1") is not None and row.get("question") and "<image " not in f"{row['question']}{row['options']}":
        row["question"] = f"<image 1> {row['question']}"
    return row


def _lettered(row: Row) -> list[str] | None:
    """The options of the official answer file, where a letter leads to each."""
    options = row.get("index2ans")
    return list(options.values()) if isinstance(options, dict) else None


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


_OFFICIAL: dict[str, Callable[[Row], Row]] = {
    "mmmu": _mmmu,
    "mathvista": _math,
    "mathvision": _math,
    "zerobench": _zerobench,
    "wemath": _wemath,
}
