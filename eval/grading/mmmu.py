"""MMMU (validation, 900 questions): the official letter and open-answer rules, without the random letter."""

import ast
import re
from typing import Any

from eval.grading.choice import choose
from eval.grading.extract import cut
from eval.grading.reader import read
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

_LETTERS = "ABCDEFGHIJ"
_DOMAINS = {
    "Art & Design": "Art Art_Theory Design Music",
    "Business": "Accounting Economics Finance Manage Marketing",
    "Science": "Biology Chemistry Geography Math Physics",
    "Health & Medicine": "Basic_Medical_Science Clinical_Medicine Diagnostics_and_Laboratory_Medicine Pharmacy "
    "Public_Health",
    "Humanities & Social Science": "History Literature Sociology Psychology",
    "Tech & Engineering": "Agriculture Architecture_and_Engineering Computer_Science Electronics Energy_and_Power "
    "Materials Mechanical_Engineering",
}
SUBJECTS = tuple(sorted(" ".join(_DOMAINS.values()).split()))
_DOMAIN_OF = {subject: domain for domain, subjects in _DOMAINS.items() for subject in subjects.split()}

_INDICATORS = (
    "could be ",
    "so ",
    "is ",
    "thus ",
    "therefore ",
    "final ",
    "answer ",
    "result ",
)
# Numbers start where digits start and take them all: no text makes these patterns slow.
_GROUPED = re.compile(r"-?(?<!\d)\b\d{1,3}(?:,\d{3})+\b")
_SCIENTIFIC = re.compile(r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d++")
_SIMPLE = re.compile(r"-?(?:(?<!\d)\d++\.\d++|\.\d++|(?<!\d)\d++\b)(?![eE][+-]?\d)(?![,\d])")

Value = str | float


def options_of(row: Row) -> dict[str, str]:
    """Letter -> option text. The official column is the string of a Python list, literals only."""
    options = row["options"]
    if isinstance(options, str):
        options = ast.literal_eval(options)
    return dict(zip(_LETTERS, map(str, options), strict=False))


def parse_choice(reply: str, options: dict[str, str]) -> str | None:
    """The official multiple-choice parser; None where it would draw a random letter."""
    for mark in ",.!?;:'":
        reply = reply.strip(mark)
    reply = f" {reply} "
    found = {c: reply.rfind(f"({c})") for c in options if f"({c})" in reply}
    if not found:
        found = {c: reply.rfind(f" {c} ") for c in options if f" {c} " in reply}
    if not found and len(reply.split()) > 5:
        lower = reply.lower()
        found = {c: lower.rfind(text.lower()) for c, text in options.items() if text.lower() in lower}
    return max(found, key=lambda c: found[c]) if found else None


def parse_open(reply: str) -> list[Value]:
    """Everything that the official parser reads as an open answer: key phrases and the numbers in them."""
    reply = reply.strip().strip(".").lower()
    parts = reply.split("\n")
    keys = []
    for i, part in enumerate(parts):
        indicators = (*_INDICATORS, "=") if i == len(parts) - 1 else _INDICATORS
        shortest = ""
        for word in indicators:
            if word in part:
                tail = part.rpartition(word)[2].strip()
                shortest = tail if not shortest or len(tail) < len(shortest) else shortest
        if shortest and shortest not in (":", ",", ".", "!", "?", ";", "'"):
            keys.append(shortest)
    values: dict[Value, None] = {}
    for key in dict.fromkeys(keys or [reply]):
        numbers = [m for pattern in (_GROUPED, _SCIENTIFIC, _SIMPLE) for m in pattern.findall(key)]
        for text in dict.fromkeys((key, *numbers)):
            values.update(dict.fromkeys(normalise(text)))
    return list(values)


def normalise(text: str) -> list[Value]:
    """A number rounded to two places, else lower case; one character is padded so that it matches whole words."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except (ValueError, OverflowError):
        return [text.lower()] if len(text) != 1 else [f" {text.lower()}", f"{text.lower()} "]


def golds_of(answer: Any) -> list[str]:
    """One or several gold answers: three rows hold the string of a list."""
    if isinstance(answer, str) and answer.startswith("["):
        try:
            answer = ast.literal_eval(answer)
        except (ValueError, SyntaxError):
            return [str(answer)]
    return [str(a) for a in answer] if isinstance(answer, list | tuple) else [str(answer)]


def open_correct(answer: Any, predicted: list[Value]) -> bool:
    golds = [value for gold in golds_of(answer) for value in normalise(gold)]
    strings = [gold for gold in golds if isinstance(gold, str)]
    return any(
        any(gold in value for gold in strings) if isinstance(value, str) else value in golds for value in predicted
    )


def grade(row: Row, reply: str, rule: Rule) -> Verdict:
    if rule == "default":
        return _grade_as_read(row, reply)
    if row["question_type"] == "multiple-choice":
        letter = parse_choice(reply, options_of(row))
        return Verdict(letter, "none", letter is not None, letter == row["answer"])
    values = parse_open(reply)
    shown = " | ".join(str(v) for v in values)
    return Verdict(shown or None, "none", bool(reply.strip()), open_correct(row["answer"], values))


def _grade_as_read(row: Row, reply: str) -> Verdict:
    said = cut(reply)
    if row["question_type"] == "multiple-choice":
        texts = {c: "" if "<image" in o or o.strip() == c else o for c, o in options_of(row).items()}
        letter = choose(said, texts)
        return Verdict(letter, said.wrapper, letter is not None, letter == str(row["answer"]).strip().upper())
    readings = [read(gold, said, contained=True) for gold in golds_of(row["answer"])]
    extracted = next((r.extracted for r in sorted(readings, key=lambda r: not r.right) if r.extracted), None)
    return Verdict(extracted, said.wrapper, extracted is not None, any(r.right for r in readings))


def subject(row: Row) -> str:
    """`validation_Math_15` -> `Math`."""
    return str(row["id"]).partition("_")[2].rpartition("_")[0]


def _id(row: Row) -> str:
    return str(row["id"])


def aggregate(graded: Graded) -> Aggregate:
    """Micro (share of questions, the score), macro (mean over subjects), and every domain, subject and type."""
    total = accuracy(graded, _id)
    groups = mean_by(
        graded,
        domain=lambda row: [_DOMAIN_OF.get(subject(row), "other")],
        subject=lambda row: [subject(row)],
        type=lambda row: [row["question_type"]],
    )
    if total.score is None:
        return total
    averages = {"micro": total.score, **macro_over(groups, "subject")}
    return total._replace(scores=total.scores | averages | groups)


BENCH = Bench(
    name="mmmu",
    label="MMMU",
    hub="MMMU/MMMU",
    configs=SUBJECTS,
    split="validation",
    key=("id",),
    unit="questions",
    official_n=900,
    version="1",
    cluster=_id,
    grade=grade,
    aggregate=aggregate,
)
