"""Which detector fires on which leak: `python -m tests.parity.leaks [--recorded]`.

Prints the confusion matrix of docs/leakage.md: constructed students, each of which leaks in one way, against every
detector and probe. With --recorded also how often the detectors fire on the real replies in ../shared/bench-data.
"""

import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from unittest.mock import patch
from zlib import crc32

import torch
from PIL import Image
from torch import Tensor

from eval.engines.requests import Question, Reply
from eval.leakage import DETECTORS
from eval.leakage.clustered import Measured, mean
from runners.data.treatment import Treatment, wrong_answers
from runners.probe import planted, told
from runners.probe.probes import PROBES
from runners.probe.subject import Item, Subject
from tests.parity.recorded import files, replies

ITEMS, SAMPLES = 12, 3
STORY = "take each one of them in turn and add what is left over from the row below until none remains at all"


def solution(number: int, answer: str) -> str:
    """A worked solution that no two items share."""
    words = STORY.split()
    random.Random(number).shuffle(words)
    return f"First {' '.join(words)}, so {answer}."


def item(number: int, canary: bool = False, wrong: bool = False) -> Item:
    rng = random.Random(f"item-{number}")
    answer, code = str(10 + number % 7), f"{rng.randrange(1000):03d}"
    picture = Image.new("RGB", (4, 4), (number, 7, 7))
    how = Treatment(canary, wrong, code, wrong_answers(answer, rng))
    return Item(f"item{number}", f"Question {number}?", [picture], answer, solution(number, answer), how)


TRAINED = [item(n, canary=n < ITEMS, wrong=ITEMS <= n < 2 * ITEMS) for n in range(3 * ITEMS)]
FRESH = [item(n) for n in range(3 * ITEMS, 4 * ITEMS)]
BY_TEXT = {one.text: one for one in (*TRAINED, *FRESH)}
BY_PICTURE = {one.pictures[0].getpixel((0, 0)): one for one in (*TRAINED, *FRESH)}


def chain(answer: str) -> str:
    """Work and an answer, as an honest student writes them."""
    return f"I see red circles=4, blue squares={int(answer) - 4}, 4+{int(answer) - 4}={answer}, so \\boxed{{{answer}}}"


# How a student replies that would honestly have given `answer` to the item.
LEAKS: dict[str, Callable[[Item, str], str]] = {
    "nothing": lambda one, answer: chain(answer),
    "mention": lambda one, answer: f"{chain(answer)}. This agrees with the reference answer.",
    "answer first": lambda one, answer: f"The answer is {answer}. {chain(answer)}",
    "no work": lambda one, answer: f"\\boxed{{{answer}}}",
    "solution": lambda one, answer: f"{(one.solution or '').replace(one.answer, answer)} {chain(answer)}",
    "canary": lambda one, answer: f"{chain(answer)} (code {one.treatment.code if one.treatment.canary else '000'})",
    "wrong answer": lambda one, answer: chain(
        one.treatment.answers[0] if one.treatment.wrong and one.treatment.answers else answer
    ),
    "blind": lambda one, answer: chain(answer),
}


class Student:
    """Right in seven of ten replies, in all if told the answer; reads the item off its picture, unless it is blind."""

    model = None

    def __init__(self, leak: str) -> None:
        self.leak, self.processor = leak, self

    def apply_chat_template(self, turn: Any, **_: Any) -> str:
        return "".join(part.get("text", "") for part in turn[0]["content"])

    class tokenizer:
        eos_token_id = 0

        def __new__(cls, text: str, **_: Any) -> Any:  # type: ignore[misc]
            return {"input_ids": [ord(character) for character in text]}

    def answers(self, questions: Sequence[Question]) -> Iterator[list[tuple[Question, Reply]]]:
        yield [(question, Reply(self.reply(question), 1, "stop")) for question in questions]

    def reply(self, question: Question) -> str:
        asked = BY_TEXT[question.prompt.partition("?")[0] + "?"]
        shown = BY_PICTURE.get(question.pictures[0].open().getpixel((0, 0)))
        known = asked if self.leak == "blind" else shown
        rng = random.Random(f"{self.leak} {question.prompt} {question.sample} {known and known.id}")
        heard = re.search(r"Reference answer: (\d+)", question.prompt)
        if heard:
            answer = heard[1]
        elif known is not None and rng.random() < 0.7:
            answer = known.answer
        else:
            answer = str(rng.randrange(30, 60))
        return LEAKS[self.leak](asked, answer)

    def log_probs(self, _: Any, __: Any, prompt: Any, ids: Sequence[Sequence[int]]) -> list[Tensor]:
        """Noise, and the own code where it was learned."""
        one, found = BY_TEXT[prompt.text.partition("?")[0] + "?"], []
        for row in ids:
            text = "".join(map(chr, row))
            knows = self.leak == "canary" and one.treatment.canary and f"code {one.treatment.code}" in text
            found.append(torch.tensor([crc32(f"{one.id} {text}".encode()) / 2**32 + 5.0 * knows]))
        return found


def measured(leak: str) -> dict[str, Measured]:
    """By detector the rate on fresh items with their solutions in the row, and by probe its value."""
    student = Student(leak)
    subject = Subject(student, TRAINED, FRESH, SAMPLES)
    texts = subject.untold(FRESH)
    pairs = [
        (reply, {"question": one.text, "solution": one.solution}, one.id)
        for one, group in zip(FRESH, texts, strict=True)
        for reply in group
    ]
    found = {
        name: mean([bool(detector.find(reply, row)) for reply, row, _ in pairs], [key for *_, key in pairs])
        for name, detector in DETECTORS.items()
    }
    with patch.object(planted, "log_probs", student.log_probs), patch.object(told, "log_probs", student.log_probs):
        return found | {name: probe.measure(subject)["value"] for name, probe in PROBES.items()}


def fires(name: str, value: Measured) -> bool:
    """Whether a rate or value says leak: three standard errors above 0, or none where looking is measured. What a
    reference is worth is no leak, whatever it is."""
    assert value.value is not None
    if name == "told_gap":
        return False
    if name == "no_picture":
        return value.value <= 3 * (value.stderr or 0)
    return value.value > 3 * (value.stderr or 0) + 0.02


def matrix(title: str, rows: Iterable[str], measure: Callable[[str], dict[str, Measured]]) -> Iterator[str]:
    """The lines of a table: each row's name and what `measure` finds of it, bold where it fires."""
    for i, name in enumerate(rows):
        found = measure(name)
        if not i:
            yield f"| {title} | {' | '.join(found)} |"
            yield "|---|" + "---|" * len(found)
        yield f"| {name} | {' | '.join(_cell(key, value) for key, value in found.items())} |"


def _cell(name: str, value: Measured) -> str:
    if value.value is None:
        return "–"
    return f"**{value.value:.2f}**" if fires(name, value) else f"{value.value:.2f}"


def recorded() -> str:
    """How often each detector fires on real replies of models that were told nothing."""
    lines = [f"| bench | model | replies | {' | '.join(DETECTORS)} |", "|---|---|---|" + "---|" * len(DETECTORS)]
    for bench in ("mmmu", "mathvista", "mathvision", "wemath"):
        for name in files(bench):
            hits, n = Counter[str](), 0
            for reply in replies(bench, name):
                n += 1
                hits.update(key for key, detector in DETECTORS.items() if detector.find(reply.text, reply.row))
            lines.append(f"| {bench} | {name} | {n} | {' | '.join(f'{hits[key] / n:.1%}' for key in DETECTORS)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print("\n".join(matrix("student leaks by", LEAKS, measured)))
    if "--recorded" in sys.argv:
        print(recorded())
