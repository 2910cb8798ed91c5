"""MathVista (testmini, 1000 questions): the official normalisation; under the default rule of a cut answer.

The official scorer has an LLM extract the answer first, so under `rule="official"` the reply IS the extraction.
The default rule cuts by rule instead, and its score must be read as such: it is no leaderboard number.
"""

import random
import re
from functools import partial

from eval.benches.bench import Bench, Groups, option
from eval.benches.drawn import Problem, make_problem, number, with_options
from eval.grading.choice import choose
from eval.grading.extract import Cut, cut
from eval.grading.numbers import quantity, same_quantity
from eval.grading.reader import list_of, number_of, shown
from eval.grading.score import Row, Rule, Verdict

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BRACKETED = re.compile(r"\(([a-zA-Z])\)")
_FIELDS = ("language", "source", "category", "task", "context", "grade")


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance, a row of the table at a time along the longer text: a long reply is cheap."""
    import numpy as np

    shorter, longer = sorted((a, b), key=len)
    letters, steps = np.array([*longer], dtype="U1"), np.arange(len(longer) + 1)
    row = steps
    for i, letter in enumerate(shorter, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (letters != letter))
        row = np.minimum.accumulate(np.concatenate([[i], best]) - steps) + steps  # then along the row, one a step
    return int(row[-1])


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
        found = list_of(said)
        if found is None:
            return None, False
        wanted = list_of(Cut(gold, "plain"))
        return f"[{', '.join(found)}]", wanted is not None and _same_list(wanted, found)
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


_HINTS = {
    "text": "Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.",
    "integer": "Please answer the question requiring an integer answer and provide the final value, "
    "e.g., 1, 2, 3, at the end.",
    "float": "Please answer the question requiring a floating-point number with one decimal place and provide "
    "the final value, e.g., 1.2, 1.3, 1.4, at the end.",
}


class MathVista(Bench):
    name = "mathvista"
    label = "MathVista"
    hub = "AI4Math/MathVista"
    split = "testmini"
    official_n = 1000
    key = ("pid",)
    pictures = ("decoded_image",)
    graded = ("question_type", "answer_type")
    asked = ("query",)
    spelt = {"decoded_image": ("decoded_image", "file", "image")}
    mini_splits = ("testmini",)
    macro = "task"

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        if rule == "official":
            prediction = _normalise(reply, row)
            return Verdict(prediction, "none", prediction is not None, prediction == row["answer"])
        said = cut(reply)
        extracted, right = _read(said, row)
        return Verdict(extracted, said.wrapper, extracted is not None, right)

    def prompt(self, row: Row) -> str:
        """The official text is a column."""
        return f"<image>{row['query']}"

    def fault(self, row: Row) -> str | None:
        if row["question_type"] == "multi_choice" and not isinstance(row.get("choices"), list):
            return "is multi_choice but has no list of choices"
        if row["answer_type"] == "float" and not isinstance(row.get("precision"), int | float):
            return "has a float answer but no precision"
        return None

    def reply_column(self, rule: Rule) -> str:
        return "extraction" if rule == "official" else "response"

    def gold(self, row: Row) -> str:
        answer = str(row["answer"])
        if row["question_type"] == "multi_choice":
            choices = list(row["choices"])
            return option(_LETTERS[choices.index(answer)], answer) if answer in choices else answer
        unit = f", unit: {row['unit']}" if row.get("unit") else ""
        places = f", decimal places: {int(row['precision'])}" if row.get("precision") is not None else ""
        return f"{answer}{unit}{places}"

    def groups(self) -> Groups:
        return {
            "question_type": lambda row: [row["question_type"]],
            "answer_type": lambda row: [row["answer_type"]],
            **{field: partial(_metadata, field) for field in _FIELDS},
            "skills": lambda row: list((row.get("metadata") or {}).get("skills", ())),
        }

    def draw(self, split: str, seed: int, times: int = 1) -> list[tuple[Row, Problem]]:
        rng = random.Random(f"mathvista-{seed}")
        pairs = []
        for i in range(60 * times):
            kind = ("half", "sum", "weighted", "total", "both", "minus")[i % 60 // 10]
            problem = make_problem(rng, kind)
            choices = i % 2 == 0 and kind != "half"
            if choices:
                problem = with_options(problem, 4)
            answer_type = "text" if choices else "float" if kind == "half" else "integer"
            pairs.append((_drawn_row(i, problem, answer_type), problem))
        return pairs


def _metadata(field: str, row: Row) -> list[str]:
    return [(row.get("metadata") or {}).get(field, "unknown")]


def _drawn_row(i: int, problem: Problem, answer_type: str) -> Row:
    unit = "points" if "points" in problem.question else None
    query = f"Hint: {_HINTS[answer_type]}\nQuestion: {problem.question}" + (f" (Unit: {unit})" if unit else "")
    if problem.options:
        query += "\nChoices:" + "".join(f"\n({_LETTERS[j]}) {o}" for j, o in enumerate(problem.options))
    return {
        "pid": f"mini_{i + 1}",
        "question": problem.question,
        "image": f"images/mini_{i + 1}.png",
        "decoded_image": problem.scene.picture(),
        "choices": list(problem.options) or None,
        "unit": unit,
        "precision": 1.0 if answer_type == "float" else None,
        "answer": number(problem.value) if answer_type != "float" else f"{problem.value:.1f}",
        "question_type": "multi_choice" if problem.options else "free_form",
        "answer_type": answer_type,
        "metadata": {
            "split": "mini",
            "language": "english",
            "img_width": 64,
            "img_height": 64,
            "source": "drawn",
            "category": "math-targeted-vqa",
            "task": "math word problem",
            "context": "synthetic scene",
            "grade": "elementary school",
            "skills": ["arithmetic reasoning"],
        },
        "query": query,
    }
