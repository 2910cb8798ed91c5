"""The verifiable reward: is the final answer of a reply the reference answer?"""

import re
from typing import Any

from math_verify import parse, verify

from eval.grading.extract import cut, option_letter

LETTERS = "ABCDEFGH"
LONGEST = 500  # characters; what is longer is no final answer, and parsing it as LaTeX would take seconds
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def same_answer(gold: str, found: str) -> bool:
    """Typed comparison: option letter, number, word, then LaTeX.

    math-verify reads neither letters nor words, and loses LaTeX that is not between dollars, so it comes last.
    """
    gold, found = _plain(gold), _plain(found)
    if not gold or not found or len(found) > LONGEST:
        return False
    if gold.casefold() == found.casefold():
        return True
    if (letter := option_letter(gold, LETTERS)) is not None and len(gold) <= 3:
        return option_letter(found, LETTERS) == letter
    if _NUMBER.fullmatch(gold) and _NUMBER.fullmatch(found):
        a, b = float(gold.replace(",", "")), float(found.replace(",", ""))
        return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
    if gold.isalpha():
        return False
    return bool(verify(parse(f"${gold}$"), parse(f"${found}$")))


def _plain(text: str) -> str:
    text = text.strip().strip("$").strip()
    return text[:-1].rstrip() if text.endswith(".") else text


def is_right(reply: str, answer: str) -> bool:
    """Whether the final answer cut out of a reply is the reference answer; a reply without one is wrong."""
    return same_answer(answer, cut(reply).text)


def accuracy(completions: list[list[dict[str, Any]]], answer: list[str], **_: Any) -> list[float]:
    """TRL's reward function: 1 for a right reply, else 0."""
    return [float(is_right(c[-1]["content"], a)) for c, a in zip(completions, answer, strict=True)]
