"""MMMU (validation, 900 questions): the official letter and open-answer rules, without the random letter."""

import ast
import random
import re
from typing import Any

from eval.benches.bench import Bench, Groups, first, option, quotable, stem
from eval.benches.drawn import Problem, make_problem, with_options
from eval.grading.choice import choose
from eval.grading.extract import cut
from eval.grading.reader import read
from eval.grading.score import Row, Rule, Verdict

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

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
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


def _grade_as_read(row: Row, reply: str) -> Verdict:
    said = cut(reply)
    if row["question_type"] == "multiple-choice":
        letter = choose(said, quotable(options_of(row)))
        return Verdict(letter, said.wrapper, letter is not None, letter == str(row["answer"]).strip().upper())
    readings = [read(gold, said, contained=True) for gold in golds_of(row["answer"])]
    extracted = next((r.extracted for r in sorted(readings, key=lambda r: not r.right) if r.extracted), None)
    return Verdict(extracted, said.wrapper, extracted is not None, any(r.right for r in readings))


def subject(row: Row) -> str:
    """`validation_Math_15` -> `Math`."""
    return str(row["id"]).partition("_")[2].rpartition("_")[0]


_SLOT = re.compile(r"<image ([1-7])>")


class MMMU(Bench):
    name = "mmmu"
    label = "MMMU"
    hub = "MMMU/MMMU"
    configs = SUBJECTS
    split = "validation"
    official_n = 900
    pictures = tuple(f"image_{n}" for n in range(1, 8))
    graded = ("question_type",)
    asked = ("question", "options")
    mini_splits = ("validation",)
    macro = "subject"

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        if rule == "default":
            return _grade_as_read(row, reply)
        if row["question_type"] == "multiple-choice":
            letter = parse_choice(reply, options_of(row))
            return Verdict(letter, "none", letter is not None, letter == row["answer"])
        values = parse_open(reply)
        shown = " | ".join(str(v) for v in values)
        return Verdict(shown or None, "none", bool(reply.strip()), open_correct(row["answer"], values))

    def prompt(self, row: Row) -> str:
        return _SLOT.sub("<image>", _text(row))

    def shown(self, row: Row) -> list[Any]:
        """One picture per slot: a picture that the text names twice is shown twice."""
        return [row[f"image_{n}"] for n in _SLOT.findall(_text(row))]

    def respelt(self, row: Row) -> Row:
        """Also read: MMMU-Pro's files, with the question inside `mmmu_pro_question` and the id, options and answer of
        the validation set inside `mmmu_val` or in `mmmu_id`; and the official answer file, with `index2ans` (letter ->
        option) for `options` and `short-answer` for `open`."""
        question = row.get("mmmu_pro_question")
        row = dict(row) if question is None else _of_pro(row, question)
        if row.get("options") is None:
            row["options"] = _lettered(row)
        if isinstance(row["options"], list):
            row["options"] = str(row["options"])
        if row.get("question_type") == "short-answer":
            row["question_type"] = "open"
        if row["options"] is None and row.get("question_type") == "open":
            row["options"] = "[]"
        named = "<image " in f"{row.get('question')}{row['options']}"
        if row.get("image_1") is not None and row.get("question") and not named:
            row["question"] = f"<image 1> {row['question']}"
        return row

    def golds(self, row: Row) -> list[str]:
        return golds_of(row["answer"])

    def fault(self, row: Row) -> str | None:
        if row["question_type"] != "multiple-choice":
            return None
        options = row.get("options")
        try:
            options = ast.literal_eval(options) if isinstance(options, str) else options
        except (ValueError, SyntaxError):
            options = None
        return None if isinstance(options, list) and options else "is multiple-choice but has no list of options"

    def gold(self, row: Row) -> str:
        if row["question_type"] == "multiple-choice":
            return option(str(row["answer"]), options_of(row).get(str(row["answer"])))
        return " or ".join(golds_of(row["answer"]))

    def groups(self) -> Groups:
        return {
            "domain": lambda row: [_DOMAIN_OF.get(subject(row), "other")],
            "subject": lambda row: [subject(row)],
            "type": lambda row: [row["question_type"]],
        }

    def draw(self, split: str, seed: int, times: int = 1) -> list[tuple[Row, Problem]]:
        rng = random.Random(f"mmmu-{seed}")
        subjects = ("Math", "Accounting", "Economics", "Physics", "Chemistry", "Design")
        pairs = []
        for i in range(60 * times):
            kind = ("sum", "difference", "weighted", "total", "both", "minus")[i % 60 // 10]
            problem = make_problem(rng, kind)
            if i % 5:
                problem = with_options(problem, 4)
            row = {
                "id": f"mini_{subjects[i % 6]}_{i // 6 + 1}",
                "question": f"<image 1> {problem.question}",
                "options": str(list(problem.options)),
                "explanation": "",
                "image_1": problem.scene.picture(),
                **{f"image_{n}": None for n in range(2, 8)},
                "img_type": "['Drawings']",
                "answer": problem.answer,
                "topic_difficulty": ("Easy", "Medium", "Hard")[i % 60 // 20],
                "question_type": "multiple-choice" if problem.options else "open",
                "subfield": "Visual arithmetic",
            }
            pairs.append((row, problem))
        return pairs


def _text(row: Row) -> str:
    """The official `llava1.5.yaml` wording, with the slots `<image n>` still in it."""
    if row["question_type"] != "multiple-choice":
        return f"{row['question']}\n\nAnswer the question using a single word or phrase."
    options = "".join(f"({chr(65 + i)}) {o}\n" for i, o in enumerate(ast.literal_eval(row["options"])))
    return f"{row['question']}\n\n{options}\n\nAnswer with the option's letter from the given choices directly."


def _of_pro(row: Row, question: Row) -> Row:
    val = row.get("mmmu_val") or {}
    options = _lettered(val) or question.get("options")
    return {
        **{f"image_{n}": question.get(f"image_{n}") for n in range(1, 8)},
        "id": val.get("id") or row.get("mmmu_id") or stem(question.get("image_1")),
        "question": question.get("question"),
        "options": options,
        "answer": first(val, "answer") or question.get("answer"),
        "question_type": val.get("question_type") or ("multiple-choice" if options else "open"),
    }


def _lettered(row: Row) -> list[str] | None:
    """The options of the official answer file, where a letter leads to each."""
    options = row.get("index2ans")
    return list(options.values()) if isinstance(options, dict) else None
