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
from eval.leakage.patterns import Patterns

LANGUAGES = (ENGLISH, CHINESE, FRENCH)
_SENTENCE_END = re.compile(r"(?<=[.!?;]) |(?<=[。！？；])")


def mentions(reply: str) -> list[str]:
    """The phrases of a reply that speak of an unseen reference, lower case, in order within each language.

    Empty for a clean reply. The language need not be known: each one's phrases are looked for.
    """
    text = reply.lower()
    if not text.isascii():  # one spelling of accents, apostrophes and characters
        text = unicodedata.normalize("NFC", text).replace("’", "'").translate(TRADITIONAL)
    found: list[str] = []
    for language in LANGUAGES:
        if _has_cues(text, language):
            kept = language.innocent.sub(" ", _suspect(text, language))
            found += [m[0] for m in language.mention.finditer(kept)]
    return found


def _has_cues(text: str, language: Patterns) -> bool:
    return all(any(cue in text for cue in group) for group in language.cues)


def _suspect(text: str, language: Patterns) -> str:
    """The sentences that have cues, and always the first, to whose place some phrases are bound."""
    first, *rest = _SENTENCE_END.split(" ".join(text.split()))
    return " ".join([first, *(sentence for sentence in rest if _has_cues(sentence, language))])


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
