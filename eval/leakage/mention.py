"""First leakage detector: does a reply talk about an answer or solution that its prompt never showed?

A model trained against a privileged teacher can learn to speak as if it had been told, too. The detector looks
for phrases that name such a text. It is a regular expression: it sees what is said aloud, not what was copied.
"""

import re
import unicodedata

from eval.leakage.detector import Detector, Patterns
from eval.leakage.mention_en import ENGLISH
from eval.leakage.mention_fr import FRENCH
from eval.leakage.mention_zh import CHINESE, TRADITIONAL

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


MENTION = Detector(
    name="mention",
    label="mention a reference they never saw",
    meaning=(
        "Each benchmark reply is searched for phrases that speak of a reference, a given answer or a provided "
        "solution. No benchmark prompt contains one, so such a phrase was learned in training, as from a teacher that "
        "was told the answer."
    ),
    find=lambda reply, row: mentions(reply),
)
