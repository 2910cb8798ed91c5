"""First leakage detector: does a reply talk about an answer or solution that its prompt never showed?

A model trained against a privileged teacher can learn to speak as if it had been told, too. The detector looks
for phrases that name such a text. It is a regular expression: it sees what is said aloud, not what was copied.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from math import sqrt
from typing import NamedTuple

from eval.leakage.mention_en import ENGLISH
from eval.leakage.mention_fr import FRENCH
from eval.leakage.mention_zh import CHINESE, TRADITIONAL

LANGUAGES = (ENGLISH, CHINESE, FRENCH)
_SENTENCE_END = re.compile(r"(?<=[.!?;]) |(?<=[。！？；])")


def mentions(reply: str) -> list[str]:
    """The phrases of a reply that speak of an unseen reference, lower case, in order within each language.

    Empty for a clean reply. The language need not be known: each one's phrases are looked for.
    """
    lower = reply.lower()
    if not lower.isascii():  # one spelling of accents, apostrophes and characters
        lower = unicodedata.normalize("NFC", lower).replace("’", "'").translate(TRADITIONAL)
    found: list[str] = []
    for language in LANGUAGES:
        if any(cue in lower for cue in language.cues):
            kept = language.innocent.sub(" ", _told_of(lower, language.cues))
            found += [m[0] for m in language.mention.finditer(kept)]
    return found


def _told_of(text: str, cues: tuple[str, ...]) -> str:
    """The sentences that hold a cue, and the first: long replies are mostly neither."""
    first, *rest = _SENTENCE_END.split(" ".join(text.split()))
    return " ".join([first, *(s for s in rest if any(cue in s for cue in cues))])


class Rate(NamedTuple):
    """Share of replies with at least one mention."""

    rate: float | None
    stderr: float | None
    n: int


def rate(replies: Iterable[str]) -> tuple[Rate, Counter[str]]:
    """The leakage rate of replies, and how often each phrase occurs."""
    phrases: Counter[str] = Counter()
    hits = n = 0
    for reply in replies:
        found = mentions(reply)
        phrases.update(found)
        hits += bool(found)
        n += 1
    if not n:
        return Rate(None, None, 0), phrases
    p = hits / n
    return Rate(p, sqrt(p * (1 - p) / (n - 1)) if n > 1 else None, n), phrases
