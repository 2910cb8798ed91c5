"""MATH-Vision (test, 3040 questions): the official chain of string clean-up and comparison at two decimals."""

import random
import re

from eval.benches.bench import Bench, Groups, option, quotable
from eval.benches.drawn import Problem, make_problem, with_options
from eval.grading.choice import choose
from eval.grading.equal import same_value
from eval.grading.extract import cut
from eval.grading.latex import Unreadable, leading_value
from eval.grading.reader import read
from eval.grading.score import Row, Rule, Verdict

MOST_PARTS = 100  # a longer tuple is compared as text: a looping reply may be one
_LETTERS = "ABCDE"
_PHRASES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_FLAGS = tuple(flag for phrase in _PHRASES for flag in (phrase, phrase.capitalize()))

# Applied one after another to the part after the last "=": (what, replacement).
_CLEAN = (
    (" ", ""), ("\\,", ""), ("∞", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", ""),
    ("\\text", ""), ("\\mbox", ""), ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", ""),
    ("^{\\circ}", ""), ("^\\circ", ""), ("{m}^3", ""), ("m^3", ""),
    ("{units}", ""), ("units", ""), ("{km}", ""), ("km", ""),
)  # fmt: skip
_STRIP = (
    ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""),
    ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""), ("$", ""), ("\\%", ""), ("\\%", ""), (" .", " 0."), ("{.", "{0."),
)  # fmt: skip
_BARE_ROOT = re.compile(r"\\sqrt(?!\\sqrt)([^{])", re.S)  # `\sqrt3`, which becomes `\sqrt{3}`
_RATIO = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")  # of two plain ints: `3/4` becomes `\frac{3}{4}`


def extract(reply: str) -> str:
    """The official model answer: a heuristic choice of the tail, then the LaTeX clean-up."""
    answer = reply.strip()
    for c in _LETTERS:
        if answer.endswith((f" {c}.", f" ({c}).")) or answer.startswith((f"{c}\n", f"({c})\n", f"({c}) {c}\n")):
            answer = c
    tail = answer.rpartition("is ")[2].rstrip(".")
    if _is_float(tail):
        answer = tail
    if "oxed{" not in answer:
        for flag in _FLAGS:
            found = flag in answer
            answer = answer.rpartition(flag)[2].strip()
            if found:
                answer = answer.partition("\n")[0].partition(". ")[0]
    elif answer.count("oxed{") > 1:
        answer = "\\boxed{" + answer.rpartition("oxed{")[2]
    answer = find_math_answer(answer)
    for c in _LETTERS.lower():
        for form in (f"({c})", f"{{{c}}}"):
            answer = answer.replace(form, c)
    return answer.rstrip(".").lstrip(":").strip()


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_math_answer(text: str) -> str:
    """The text in the last box, after its last "=", lower case and without units and layout commands."""
    text = text.lower().replace("{}", "")
    start, end = text.find("oxed{"), text.rfind("}")
    if start >= 0 and start + len("oxed{") <= end:  # greedy: from the first box to the last brace
        text = text[start + len("oxed{") : end]
    if "}" in text and ("{" not in text or text.index("}") < text.index("{")):
        text = text.partition("}")[0]
    text = text.rpartition("=")[2].rpartition("\\approx")[2]
    for old, new in _CLEAN:
        text = text.replace(old, new)
    return strip_latex(text)


def strip_latex(text: str) -> str:
    """Hendrycks' normal form of a final answer."""
    for old, new in _STRIP:
        text = text.replace(old, new)
    if not text:
        return text
    if text.startswith("."):
        text = f"0{text}"
    if "sqrt" in text:
        text = _brace_fractions(_BARE_ROOT.sub(r"\\sqrt{\1}", text))
    text = text.replace(" ", "")
    if text == "0.5":
        return "\\frac{1}{2}"
    return f"\\frac{{{ratio[1]}}}{{{ratio[2]}}}" if (ratio := _RATIO.fullmatch(text)) else text


def _brace_fractions(text: str) -> str:
    """`\\frac12` -> `\\frac{1}{2}`; a text with a cut-off fraction stays as it is."""
    head, *tails = text.split("\\frac")
    out = head
    for tail in tails:
        out += "\\frac"
        if tail.startswith("{"):
            out += tail
        elif len(tail) < 2:
            return text
        elif tail[1] == "{":
            out += f"{{{tail[0]}}}{tail[1:]}"
        else:
            out += f"{{{tail[0]}}}{{{tail[1]}}}{tail[2:]}"
    return out


def equal(gold: str, answer: str) -> bool:
    """Same text, same tuple, or same number to two decimals."""
    gold, answer = gold.lower(), answer.lower()
    if not gold.strip(" ") or not answer.strip(" "):
        return False
    if gold.strip() == answer.strip() or _tuple(gold) == _tuple(answer):
        return True
    try:
        return round(leading_value(_tuple(gold)), 2) == round(leading_value(_tuple(answer)), 2)
    except Unreadable:
        return False


def _tuple(text: str) -> str:
    """A tuple or an interval with its numbers rounded; any other text, and one with a part that is none, as it is."""
    parts = text[1:-1].split(",")
    if not 2 <= len(parts) <= MOST_PARTS or text[0] + text[-1] not in ("()", "[]"):
        return text
    try:
        return text[0] + ",".join(_part(part) for part in parts) + text[-1]
    except Unreadable:
        return text


def _part(text: str) -> str:
    return text if "infty" in text or text in ("a", "-a") else str(round(leading_value(text), 2))


def _grade_as_read(options: list[str], gold: str, reply: str) -> Verdict:
    said = cut(reply)
    if not options:
        extracted, right = read(gold, said)
        return Verdict(extracted, said.wrapper, extracted is not None, right)
    letter = choose(said, quotable(dict(zip(_LETTERS, options, strict=False))))
    right = letter is not None and (letter == gold.strip().upper() or same_value(gold, options[_LETTERS.index(letter)]))
    extracted = letter or (None if said.wrapper == "plain" else said.text or None)
    return Verdict(extracted, said.wrapper, extracted is not None, right)


INSTRUCTION = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". '
    'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".'
)


class MathVision(Bench):
    name = "mathvision"
    label = "MathVision"
    hub = "MathLLMs/MathVision"
    split = "test"
    official_n = 3040
    pictures = ("decoded_image",)  # one, merged where a question has several
    graded = ("options", "level", "subject")
    spelt = {"decoded_image": ("decoded_image", "file", "image")}
    mini_splits = ("test",)
    macro = "subject"

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        options = [str(o) for o in row["options"]]
        gold = str(row["answer"])
        if rule == "default":
            return _grade_as_read(options, gold, reply)
        answer = extract(reply)
        correct = equal(gold, answer)
        if not correct and options and gold in _LETTERS:
            correct = equal(options[_LETTERS.index(gold)], answer)
        # The chain may hand the whole reply through: that is no answer that was found.
        return Verdict(answer or None, "none", bool(answer), correct)

    def prompt(self, row: Row) -> str:
        # Options that merely repeat their letters stand in the picture.
        options = [] if "".join(row["options"]) == _LETTERS else row["options"]
        block = "".join(f"\n({chr(65 + i)}) {o}" for i, o in enumerate(options))
        return f"<image>{INSTRUCTION}\n{row['question']}{block}"

    def fault(self, row: Row) -> str | None:
        return None if isinstance(row["options"], list) else "has options that are no list"

    def gold(self, row: Row) -> str:
        answer = str(row["answer"])
        texts = dict(zip(_LETTERS, row["options"], strict=False))
        return option(answer, texts.get(answer)) if row["options"] else answer

    def groups(self) -> Groups:
        return {
            "level": lambda row: [str(row["level"])],
            "subject": lambda row: [row["subject"]],
            "subject_level": lambda row: [f"{row['subject']}/{row['level']}"],
        }

    def draw(self, split: str, seed: int, times: int = 1) -> list[tuple[Row, Problem]]:
        rng = random.Random(f"mathvision-{seed}")
        levels = (
            ("count", "sum"),
            ("difference", "sum"),
            ("weighted", "weighted"),
            ("total", "both"),
            ("minus", "all"),
        )
        pairs = []
        for i in range(60 * times):
            level = i % 60 // 12
            problem = make_problem(rng, levels[level][i % 2])
            if i % 4 < 2:
                problem = with_options(problem, 5)
            row = {
                "id": f"mini_{i + 1}",
                "question": f"{problem.question}\n<image1>",
                "options": list(problem.options),
                "answer": problem.answer,
                "solution": None,
                "level": level + 1,
                "subject": "counting" if level < 2 else "arithmetic",
                "image": f"images/mini_{i + 1}.png",
                "decoded_image": problem.scene.picture(),
            }
            pairs.append((row, problem))
        return pairs
