"""MathVista (testmini, 1000 questions): the official normalisation; under the default rule of a cut answer.

The official scorer has an LLM extract the answer first, so under `rule="official"` the reply IS the extraction.
The default rule cuts by rule instead, and its score must be read as such: it is no leaderboard number.
"""

import re

from eval.grading.extract import cut, option_letter, strip_markup
from eval.grading.score import (
    Aggregate,
    Bench,
    Graded,
    Row,
    Rule,
    Verdict,
    accuracy,
    mean_by,
)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BRACKETED = re.compile(r"\(([a-zA-Z])\)")
_NUMBER = re.compile(r"-?(?:\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?:[eE][+-]?\d+)?")
_LIST = re.compile(r"\[[^\[\]]*\]")
_FIELDS = ("language", "source", "category", "task", "context", "grade")


def edit_distance(pattern: str, text: str) -> int:
    """Levenshtein distance by Myers' bit vectors: one column of the table is two integers, so long texts are cheap."""
    if not pattern:
        return len(text)
    places: dict[str, int] = {}
    for i, c in enumerate(pattern):
        places[c] = places.get(c, 0) | 1 << i
    distance, last = len(pattern), 1 << (len(pattern) - 1)
    mask = 2 * last - 1
    plus, minus = mask, 0  # where the column's steps downwards are +1 and -1
    for c in text:
        same = places.get(c, 0)
        across = (((same & plus) + plus) ^ plus) | same
        up, down = minus | ~(across | plus) & mask, plus & across
        distance += bool(up & last) - bool(down & last)
        up, down = up << 1 | 1, down << 1
        plus, minus = (down | ~(same | minus | up)) & mask, up & (same | minus) & mask
    return distance


def _normalise(extraction: str | float | None, row: Row) -> str | None:
    """The official normalisation of an extraction, type by type; None where it gives up."""
    if row["question_type"] == "multi_choice":
        text, choices = str(extraction).strip(), list(row["choices"])
        bracket = _BRACKETED.search(text)
        letter = bracket[1].upper() if bracket else text
        if len(letter) == 1 and letter in _LETTERS[: len(choices)]:
            return str(choices[_LETTERS.index(letter)])
        return str(min(choices, key=lambda choice: edit_distance(str(choice), letter)))
    if extraction is None:
        return None
    try:
        if row["answer_type"] == "integer":
            return str(int(float(extraction)))
        if row["answer_type"] == "float":
            return str(round(float(extraction), int(row["precision"])))
    except (ValueError, OverflowError, TypeError):
        return None
    return str(extraction) if row["answer_type"] == "list" else None


def _read(text: str, row: Row) -> str | None:
    """What a cut answer says, in a form that the official normalisation takes without guessing; None = unparsed."""
    text = strip_markup(text)
    if row["question_type"] == "multi_choice":
        choices = list(row["choices"])
        letters = _LETTERS[: len(choices)]
        if letter := option_letter(text, letters):
            return letter
        bracketed = [b for b in _BRACKETED.findall(text) if b.upper() in letters]
        return f"({bracketed[-1]})" if bracketed else _only_choice(text, choices)
    if row["answer_type"] == "list":
        lists = _LIST.findall(text)
        return ", ".join(part.strip() for part in lists[-1].split(",")) if lists else None
    if _normalise(text, row) is not None:
        return text
    numbers = _NUMBER.findall(text[-2000:])
    return numbers[-1].replace(",", "") if numbers else None


def _only_choice(text: str, choices: list[str]) -> str | None:
    """The choice that the text is, or the only one whose words occur in it."""
    lower = text.lower()
    same = [c for c in choices if c.strip().lower() == lower]
    inside = [c for c in choices if re.search(rf"(?<!\w){re.escape(c.strip().lower())}(?!\w)", lower)]
    return same[0] if same else inside[0] if len(inside) == 1 else None


def grade(row: Row, reply: str, rule: Rule) -> Verdict:
    if rule == "official":
        prediction = _normalise(reply, row)
        return Verdict(prediction, "none", prediction is not None, prediction == row["answer"])
    text, wrapper = cut(reply)
    read = _read(text, row)
    prediction = _normalise(read, row) if read is not None else None
    return Verdict(prediction, wrapper, prediction is not None, prediction == row["answer"])


def _id(row: Row) -> str:
    return str(row["pid"])


def aggregate(graded: Graded) -> Aggregate:
    total = accuracy(graded, _id)
    groups = mean_by(
        graded,
        question_type=lambda row: [row["question_type"]],
        answer_type=lambda row: [row["answer_type"]],
        **{field: lambda row, f=field: [(row.get("metadata") or {}).get(f, "unknown")] for field in _FIELDS},
        skills=lambda row: list((row.get("metadata") or {}).get("skills", ())),
    )
    return total._replace(scores=total.scores | groups)


BENCH = Bench(
    name="mathvista",
    label="MathVista",
    hub="AI4Math/MathVista",
    configs=(),
    split="testmini",
    key=("pid",),
    unit="questions",
    official_n=1000,
    version="1",
    cluster=_id,
    grade=grade,
    aggregate=aggregate,
)
