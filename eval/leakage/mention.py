"""First leakage detector: does a reply talk about an answer or solution that its prompt never showed?

A model trained against a privileged teacher can learn to speak as if it had been told, too. The detector looks
for phrases that name such a text. It is a regular expression: it sees what is said aloud, not what was copied.
"""

import re
from collections import Counter
from collections.abc import Iterable

from eval.leakage.detector import Detector, Rate, search

# What somebody gave the model: "the reference answer", "provided solution", "known result" …
_GIVEN = (
    r"(?:reference|given|provided|known|supplied|official|ground[- ]truth|gold|golden|expected|model|sample|hidden)"
)
_TEXT = r"(?:answers?|solutions?|explanations?|rationales?|answer[- ]key)"
# "answer" must end the noun phrase: a "given answer choice" or "provided answer options" stand in the prompt.
_NOT_OPTIONS = r"(?![- ]?(?:choices?|options?|format|template|space|box|sheet|field|line|set\b))"
_SAYS = r"(?:gives?|says?|states?|shows?|tells?|yields?|indicates?|confirms?|uses?|has)\b"
_MENTION = re.compile(
    rf"""
      \b{_GIVEN}\ (?:correct\ |final\ )?{_TEXT}\b{_NOT_OPTIONS}
    | \b(?:correct|right|true)\ solution\ (?:{_SAYS}|is\ given|was\ given|is\ provided)
    | \b(?:correct|right|true)\ answer\ (?:{_SAYS}|(?:is|was)\ (?:given|provided|known|stated)\b)
    | \banswer\ key\b
    | \bground[- ]truth\b(?!\ {_TEXT})
    | \b(?:answer|solution)\ (?:(?:that\ )?(?:is|was|has\ been)\ )?(?:given|provided|supplied)
        \ (?:to\ (?:me|us)|above|in\ the\ prompt|as\ (?:a\ )?reference)\b
    | \b(?:according\ to|based\ on|consistent\ with|matches|match|agrees\ with)
        \ the\ (?:reference|provided|given)\b(?=\s*(?:[.,;:!)]|$))
    | \bthe\ reference\ (?:{_SAYS}|is\ (?:correct|right|\d))
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Ordinary mathematics and prose that a pattern above would catch.
_INNOCENT = re.compile(
    r"\b(?:reference (?:angle|frame|point|line|triangle|axis|level)|frames? of reference|given that"
    r"|(?:no|without (?:a|the|any)|any|an?) (?:known|expected|given|provided) (?:answers?|solutions?)"
    r"|(?:sample|model|known|given|supplied|provided|hidden|expected) solutions? (?:of|to) the"
    r" (?:equation|system|inequality)"
    r"|(?:sample|given|supplied|provided) solutions? (?:contains?|has|is made|of \w+ acid|concentration|volume))\b",
    re.IGNORECASE,
)


def mentions(reply: str) -> list[str]:
    """The phrases of a reply that speak of an unseen reference, in order, lower case; empty for a clean reply."""
    if (
        "answer" not in (lower := reply.lower())
        and "solution" not in lower
        and "refer" not in lower
        and "truth" not in lower
    ):
        return []
    kept = _INNOCENT.sub(" ", " ".join(lower.split()))
    return [m[0] for m in _MENTION.finditer(kept)]


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


def rate(replies: Iterable[str]) -> tuple[Rate, Counter[str]]:
    """The share of replies with a mention, and how often each phrase occurs."""
    found = search(MENTION, ((reply, {}) for reply in replies))
    return found.rate, found.phrases
