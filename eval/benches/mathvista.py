"""MathVista (testmini, 1000 questions): the official normalisation; under the default rule of a cut answer.

The official scorer has an LLM extract the answer first, so under `rule="official"` the reply IS the extraction.
The default rule cuts by rule instead, and its score must be read as such: it is no leaderboard number.
"""

import re
from collections import defaultdict

from eval.grading.extract import cut, option_letter, strip_markup
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
_NUMBER = re.compile(r"-?(?:\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?:[eE][+-]?\d+)?")
_DEGREE = re.compile(r"\^\{?\\circ\}?")
_LIST = re.compile(r"\[[^\[\]]*\]")
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


def _read(text: str, wrapper: str, row: Row) -> str | None:
    """What a cut answer says, in a form that the official normalisation takes without guessing; None = unparsed.

    Of several letters in an answer none counts, of several in a whole reply the last, unless they repeat the options.
    """
    text = strip_markup(text)
    if row["question_type"] == "multi_choice":
        choices = list(row["choices"])
        letters = _LETTERS[: len(choices)]
        if letter := option_letter(text, letters):
            return letter
        bracketed = [b.upper() for b in _BRACKETED.findall(text) if b.upper() in letters]
        if bracketed and (len(set(bracketed)) == 1 or (wrapper == "plain" and bracketed != list(letters))):
            return f"({bracketed[-1]})"
        return _only_choice(text, choices)
    if row["answer_type"] == "list":
        lists = _LIST.findall(text)
        return ", ".join(part.strip() for part in lists[-1].split(",")) if lists else None
    text = text.replace("\u2212", "-")
    return text if _normalise(text, row) is not None else _number(text, wrapper)


def _number(text: str, wrapper: str) -> str | None:
    """The number that a text with words or units states.

    An answer states it first, or after its last "=", and units follow (`14 cm^2`). A whole reply, and a tag that does
    not begin with a number, are sentences: there the last one counts.
    """
    sentences = wrapper == "plain" or (wrapper.endswith("tag") and not _NUMBER.match(text))
    if sentences:
        numbers = _NUMBER.findall(text[-2000:])[-1:]
    else:
        numbers = _NUMBER.findall(text.rpartition("=")[2][:2000])[:1] or _NUMBER.findall(text[:2000])[:1]
    return numbers[0].replace(",", "") if numbers else None


def _only_choice(text: str, choices: list[str]) -> str | None:
    """The choice that the text is, or the only one whose words occur in it (`quarter past` holds `quarter`)."""
    text = _comparable(text)
    said = text.replace(" ", "").rstrip(".")
    bare = said[1:-1] if said[:1] + said[-1:] == "()" else said
    same = [c for c in choices if _comparable(c).replace(" ", "") in (said, bare)]
    if same:
        return same[0]
    inside = [c for c in choices if re.search(rf"(?<!\w){re.escape(_comparable(c))}(?!\w)", text)]
    longest = max(inside, key=len, default=None)
    return longest if longest and all(_comparable(c) in _comparable(longest) for c in inside) else None


def _comparable(text: str) -> str:
    """Lower case, with one spelling of a degree and of a fraction."""
    return _DEGREE.sub("°", text.strip().lower()).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")


def grade(row: Row, reply: str, rule: Rule) -> Verdict:
    if rule == "official":
        prediction = _normalise(reply, row)
        return Verdict(prediction, "none", prediction is not None, prediction == row["answer"])
    text, wrapper = cut(reply)
    read = _read(text, wrapper, row)
    prediction = _normalise(read, row) if read is not None else None
    return Verdict(prediction, wrapper, prediction is not None, prediction == row["answer"])


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
