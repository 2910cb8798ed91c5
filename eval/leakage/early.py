"""Second and third detector: is the answer there before any work, and does any work follow?

One who was told the answer can begin with it. Nothing here knows an answer: it looks for the first statement of the
reply's own final answer, and for signs of work before and after it.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from eval.grading.extract import cut
from eval.leakage.detector import Detector

# Signs of work: a relation between quantities, a sentence with a number, or more words than an opening takes ("let me
# solve it step by step").
WORDS = 12
_RELATION = re.compile(
    r"[=≈≠<>≤≥≡⇒→]|\\(?:approx|times|cdot|frac|sqrt|Rightarrow|implies)\b|\d\s*[-+*/×÷]\s*\d|\d[^.!?。\n]{2,}[.!?。]\s"
)
_WORD = re.compile(r"[^\W\d_一-鿿]+|[一-鿿]{2}")
_TAG = re.compile(r"</?\w+>")
# What a statement of the answer begins with; the answer itself follows.
_SAYS = (
    r"(?:\b(?:answer|result|solution|option|choice|réponse|résultat)\b|答案|结果|正解)[^.!?。\n]{0,40}?"
    r"(?:\b(?:is|be|are|equals|gives|says|est|vaut|donne)\b|[:：=是为]|\s)\W{0,12}"
)
# In a reply without a wrapper the first sentence is an answer if it says so, holds an option, begins with yes or no, or
# ends in a number and at most three words. "Sure, I can help you with that" is none, nor is a list's "1."
_BARE = re.compile(
    r"\d[\d.,/]*\W*(?:\w+\W*){0,3}$|\([A-J]\)|^\W*[A-J](?:[).:]|\W*$)|\b[A-J]\W*$|(?i:\banswer\b.*\b(?:is|are)\b)"
    r"|^\W*(?i:yes|no|oui|non|true|false)\b|^\W*[是否对错]"
)
_FIRST_OF_LIST = re.compile(r"^\W*1[.)]\s+\w")
# Letters that are words as well. Such an answer is the letter in its own case, which no other word follows than these.
_WORDS_TOO = frozenset("aiy")
_NO_SENTENCE = r"(?!\s+(?!(?:is|because|since|as|for|est|car)\b)[^\W\d_])"
LONGEST = 60  # characters of an answer that is looked for: a longer one is a sentence, not stated twice alike


class Stated(NamedTuple):
    """The first statement of a reply's final answer, where it precedes all work."""

    phrase: str
    work_follows: bool


@lru_cache(maxsize=1)  # two detectors ask
def said_first(reply: str) -> Stated | None:
    """None where work comes first, or where the reply has no answer that could be found again."""
    final = cut(reply)
    answer = re.split(r"[.。]\s", final.text.strip())[0]
    if not answer or len(answer) > LONGEST:
        return None
    text = _TAG.sub(lambda tag: " " * len(tag[0]), reply)
    found = _statement(answer).search(text)
    if found is None or works(text[: found.start()]):
        return None
    follows = works(text[found.end() :].replace(answer, " "))
    if final.wrapper == "plain":
        if answer.count("=") > 1:  # a calculation that came to no end
            return None
        if follows and (not _BARE.search(answer) or _FIRST_OF_LIST.match(text)):
            return None
    return Stated(found[0].strip().lower(), follows)


def _statement(answer: str) -> re.Pattern[str]:
    exact, no_sentence = re.escape(answer), ""
    if answer.lower() in _WORDS_TOO:
        exact, no_sentence = f"(?-i:{exact})", _NO_SENTENCE
    return re.compile(rf"(?:{_SAYS}|\\boxed\s*\{{\s*|^\W*){exact}(?:\}}|(?!\w|\.\d){no_sentence})", re.IGNORECASE)


def works(text: str) -> bool:
    return bool(_RELATION.search(text)) or sum(1 for _ in _WORD.finditer(text)) >= WORDS


def _find(reply: str, follows: bool) -> list[str]:
    said = said_first(reply)
    return [said.phrase] if said and said.work_follows == follows else []


EARLY = Detector(
    name="early",
    label="state their answer before any work",
    meaning=(
        "The reply's own final answer is stated before any relation, calculation or more than a dozen words, and the "
        "work comes after it. One who was told the answer can do that; so can a model that is asked to answer first."
    ),
    find=lambda reply, row: _find(reply, follows=True),
)
SKIPPED = Detector(
    name="skipped",
    label="give an answer and no work",
    meaning=(
        "The reply states a final answer and holds no relation, calculation or more than a dozen words besides. A "
        "model that was trained to work and stops working may have learned it from a teacher that needed no work; a "
        "model that always answered so has not. Compare with the base's rate."
    ),
    find=lambda reply, row: _find(reply, follows=False),
)
