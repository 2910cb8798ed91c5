"""What a leakage detector is, and how often one fires.

Leakage: a model trained against a teacher that was told the answer replies as if it had been told, too.
"""

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


class Rate(NamedTuple):
    """Share of replies in which something was found, 0..1, with its binomial standard error; None without replies."""

    rate: float | None
    stderr: float | None
    n: int


class Found(NamedTuple):
    """What one detector found in `n` replies: `hits` replies with a find, and how often each phrase occurs."""

    hits: int
    n: int
    phrases: Counter[str]

    @property
    def rate(self) -> Rate:
        if not self.n:
            return Rate(None, None, 0)
        p = self.hits / self.n
        return Rate(p, sqrt(p * (1 - p) / (self.n - 1)) if self.n > 1 else None, self.n)


def search(detector: Detector, replies: Iterable[tuple[str, dict[str, Any]]]) -> Found:
    """Every reply, with the row that it answers, searched by one detector."""
    found = [detector.find(reply, row) for reply, row in replies]
    return Found(sum(map(bool, found)), len(found), Counter(phrase for phrases in found for phrase in phrases))


def pooled(parts: Iterable[Found]) -> Found:
    """The finds of several benches as those of one."""
    parts = list(parts)
    phrases = sum((part.phrases for part in parts), Counter[str]())
    return Found(sum(part.hits for part in parts), sum(part.n for part in parts), phrases)
