"""What a leakage detector is, and how often one fires.

Leakage: a model trained against a teacher that was told the answer replies as if it had been told, too.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Detector:
    """One sign of leakage in a reply.

    `label` completes "replies that …", `meaning` says in a sentence or two what was searched for and what a find
    tells. `find` gets a reply and the bench's row that it answers, in official columns but without pictures, and
    returns the phrases that gave the reply away, in order; an empty list is a clean reply.
    """

    name: str
    label: str
    meaning: str
    find: Callable[[str, dict[str, Any]], list[str]]


class Patterns(NamedTuple):
    """What a detector of phrases knows of one language, matched against lower-case text with single spaces.

    cues: groups of strings. A sentence that lacks all strings of a group is clean, so that most of them cost no
        regular expression.
    innocent: ordinary mathematics and prose that `mention` would catch; taken out first.
    mention: the phrases that speak of an answer, solution or reference.
    """

    cues: tuple[tuple[str, ...], ...]
    innocent: re.Pattern[str]
    mention: re.Pattern[str]


class Rate(NamedTuple):
    """Share of replies in which something was found, 0..1, with its binomial standard error; None without replies."""

    rate: float | None
    stderr: float | None
    n: int


class Found(NamedTuple):
    """What one detector found in `n` replies: the numbers of those with a find, and how often each phrase occurs."""

    found: list[int]
    n: int
    phrases: Counter[str]


def share(hits: int, n: int) -> Rate:
    if not n:
        return Rate(None, None, 0)
    p = hits / n
    return Rate(p, sqrt(p * (1 - p) / (n - 1)) if n > 1 else None, n)


def search(detector: Detector, replies: Iterable[tuple[str, dict[str, Any]]]) -> Found:
    """Every reply, with the row that it answers, searched by one detector."""
    said = [detector.find(reply, row) for reply, row in replies]
    return Found(
        [i for i, phrases in enumerate(said) if phrases], len(said), Counter(p for found in said for p in found)
    )
