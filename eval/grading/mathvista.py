"""MathVista (testmini, 1000 questions): the official normalisation; under the default rule of a cut answer.

The official scorer has an LLM extract the answer first, so under `rule="official"` the reply IS the extraction.
The default rule cuts by rule instead, and its score must be read as such: it is no leaderboard number.
"""

import re
from collections import defaultdict

from eval.grading.choice import choose
from eval.grading.extract import Cut, cut
from eval.grading.numbers import quantity, same_quantity
from eval.grading.reader import list_of, number_of, shown
from eval.grading.score import (
    Aggregate,
    Bench,
    Graded,
    Row,
    Rule,
    Verdict,
    accuracy,
    macro_over,
    mean_by,
)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BRACKETED = re.compile(r"\(([a-zA-Z])\)")
_FIELDS = ("language", "source", "category", "task", "context", "grade")


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance by Myers' bit vectors: one column of the table is two integers.

    The longer text makes the bits and the shorter the steps, so a long reply against a short choice is cheap.
    """
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    if not shorter:
        return len(longer)
    places = dict.fromkeys(shorter, 0)
    for c in places.keys() & set(longer):
        places[c] = int(longer[::-1].translate(defaultdict(lambda: "0", {ord(c): "1"})), 2)
    distance, last = len(longer), 1 << (len(longer) - 1)
    mask = 2 * last - 1
    plus, minus = mask, 0  # where the column's steps downwards are +1 and -1
    for c in shorter:
        same = places[c]
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


def _read(said: Cut, row: Row) -> tuple[str | None, bool]:
    """What a cut answer says (None: nothing that was asked for), and whether it is the gold."""
    gold = str(row["answer"]).strip()
    if row["question_type"] == "multi_choice":
        choices = [str(choice) for choice in row["choices"]]
        letter = choose(said, dict(zip(_LETTERS, choices, strict=False)))
        choice = choices[_LETTERS.index(letter)] if letter else None
        named = {c.strip().casefold() for c in choices}
        asked = choice if gold.casefold() in named or choice is None else letter  # a local gold may be a letter
        return choice, asked is not None and asked.strip().casefold() == gold.casefold()
    if row["answer_type"] == "list":
        found, parts = list_of(said), list_of(Cut(gold, "plain"))
        if found is None:
            return None, False
        return f"[{', '.join(found)}]", parts is not None and _same_list(parts, found)
    number, target = number_of(said), quantity(gold)
    if number is None:
        return None, False
    if target is None:
        return shown(number), False
    right = same_quantity(target, number)
    if not right and row["answer_type"] == "float" and row["precision"] is not None:
        values = (
            [number.value / 100, *([number.value] if abs(target.value) >= 1 else [])]
            if number.percent
            else [number.value]
        )
        right = any(round(value, int(row["precision"])) == target.value for value in values)
    return shown(number), right


def _same_list(gold: list[str], found: list[str]) -> bool:
    """Part by part, in order."""
    pairs = [(a, b, quantity(a), quantity(b)) for a, b in zip(gold, found, strict=False)]
    return len(gold) == len(found) and all(a == b or bool(x and y and same_quantity(x, y)) for a, b, x, y in pairs)


def grade(row: Row, reply: str, rule: Rule) -> Verdict:
    if rule == "official":
        prediction = _normalise(reply, row)
        return Verdict(prediction, "none", prediction is not None, prediction == row["answer"])
    said = cut(reply)
    extracted, right = _read(said, row)
    return Verdict(extracted, said.wrapper, extracted is not None, right)


def _id(row: Row) -> str:
    return str(row["pid"])


def aggregate(graded: Graded) -> Aggregate:
    """Micro (share of questions, the score), macro (mean over the five tasks), and every group of the metadata."""
    total = accuracy(graded, _id)
    groups = mean_by(
        graded,
        question_type=lambda row: [row["question_type"]],
        answer_type=lambda row: [row["answer_type"]],
        **{field: lambda row, f=field: [(row.get("metadata") or {}).get(f, "unknown")] for field in _FIELDS},
        skills=lambda row: list((row.get("metadata") or {}).get("skills", ())),
    )
    if total.score is None:
        return total
    averages = {"micro": total.score, **macro_over(groups, "task")}
    return total._replace(scores=total.scores | averages | groups)


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
