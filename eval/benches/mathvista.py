"""MathVista (testmini, 1000 questions): the official normalisation; under the default rule of a cut answer.

The official scorer has an LLM extract the answer first, so under `rule="official"` the reply IS the extraction.
The default rule cuts by rule instead, and its score must be read as such: it is no leaderboard number.
"""

import random
import re
from collections import defaultdict
from functools import partial

from eval.benches.bench import Bench, Groups, first, option
from eval.benches.drawn import Problem, make_problem, number, with_options
from eval.grading.extract import cut, option_letter, strip_markup
from eval.grading.score import Row, Rule, Verdict

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
    mini_splits = ("testmini",)
    macro = "task"

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        return grade(row, reply, rule)

    def prompt(self, row: Row) -> str:
        """The official text is a column."""
        return f"<image>{row['query']}"

    def respelt(self, row: Row) -> Row:
        """Also read: `file` or `image`, a path, for `decoded_image`."""
        return {**row, "decoded_image": first(row, "decoded_image", "file", "image")}

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

    def draw(self, split: str, seed: int) -> list[tuple[Row, Problem]]:
        rng = random.Random(f"mathvista-{seed}")
        pairs = []
        for i in range(60):
            kind = ("half", "sum", "weighted", "total", "both", "minus")[i // 10]
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
