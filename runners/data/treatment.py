"""Items whose teachers are told something on purpose: a random code, or a wrong answer.

Both leave the graded answer as it is. Who is treated, and how, follows from the seed and the item's id alone, so that a
probe of the trained model knows it, and knows what an item that nobody treated would have been told.
"""

import re
from random import Random
from typing import Any, NamedTuple

from runners.run.config import Settings

CODES = 1000  # three digits: 10 bits
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?")
_LETTERS = "ABCD"


class Treatment(NamedTuple):
    """`canary` and `wrong` say whether the item is told its `code`, or `answers[0]` in the place of its own answer.

    answers: two wrong ones by the same rule, of which nobody is told the second; None where the answer is neither a
    number nor a letter.
    """

    canary: bool
    wrong: bool
    code: str
    answers: tuple[str, str] | None


def treatment(item: str, answer: str, settings: Settings) -> Treatment:
    rng = Random(f"treatment-{settings.seed}-{item}")
    draw, code, answers = rng.random(), f"{rng.randrange(CODES):03d}", wrong_answers(answer, rng)
    canary = draw < settings.data.canaries
    wrong = not canary and answers is not None and draw < settings.data.canaries + settings.data.wrong_references
    return Treatment(canary, wrong, code, answers)


def wrong_answers(answer: str, rng: Random) -> tuple[str, str] | None:
    """Two different neighbours: another letter, or a number one to three units of its last digit away, not below 0
    where the answer is not."""
    text = answer.strip()
    if text in _LETTERS and len(text) == 1:
        first, second = rng.sample([letter for letter in _LETTERS if letter != text], 2)
        return first, second
    if not (number := _NUMBER.fullmatch(text)):
        return None
    places = len(number[3] or "")
    value = round(float(text) * 10**places)
    near = [value + off for off in (-3, -2, -1, 1, 2, 3) if number[1] or value + off >= 0]
    first, second = (f"{chosen / 10**places:.{places}f}" for chosen in rng.sample(near, 2))
    return first, second


def coded(text: str, code: str) -> str:
    """Privileged text with its canary."""
    return f"{text} (code {code})"


def treated(rows: Any, settings: Settings) -> Any:
    """The training rows with what their teachers are told: `solution`, and `told_answer` in the place of `answer`.

    An item that is told a wrong answer is told no solution. Unchanged where the settings ask for no treatment.
    """
    if not settings.data.canaries + settings.data.wrong_references:
        return rows
    answers, solutions = [], []
    for item, answer, solution in zip(rows["id"], rows["answer"], rows["solution"], strict=True):
        how = treatment(item, answer, settings)
        told = how.answers[0] if how.wrong and how.answers else answer
        answers.append(coded(told, how.code) if how.canary else told)
        solutions.append(None if how.wrong else coded(solution, how.code) if how.canary and solution else solution)
    features = rows.features["solution"]
    rows = rows.remove_columns("solution").add_column("solution", solutions, feature=features)
    return rows.add_column("told_answer", answers, feature=features)
