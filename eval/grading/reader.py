"""What a cut answer says to a question without options: a number, a list, a letter, words; and if it is the gold."""

import re
from itertools import pairwise
from typing import NamedTuple

from eval.grading import phrases
from eval.grading.choice import choose, comparable
from eval.grading.equal import plain, same_value
from eval.grading.extract import LONGEST_BARE_ANSWER, Cut, strip_markup
from eval.grading.numbers import Quantity, agrees, quantity
from eval.grading.sentence import WINDOW, has_number, mentions, number_in, statement
from eval.grading.spelling import restored, spelled


class Said(NamedTuple):
    """`extracted` is what was read, None where nothing was."""

    extracted: str | None
    right: bool


_BRACKETS = re.compile(r"\[[^\[\]]*\]|\([^()\[\]]*\)")
_PARENTHESES = re.compile(r"\(([^(),]*)\)")
_SINGLE = re.compile(r"[A-Ja-j]")
_SENTENCES = re.compile(r"[\w)][.?!] +\S|[。;]")  # more than one
_EVERY_LETTER = dict.fromkeys("ABCDEFGHIJ", "")


def number_of(said: Cut) -> Quantity | None:
    """The number that a cut answer states, in whatever sentence."""
    text = spelled(strip_markup(said.text[-WINDOW:]))
    exact = text.partition("\\approx")[0]
    if whole := quantity(text) or quantity(exact):
        return whole
    if "\n" not in said.text.strip() and not _SENTENCES.search(text):
        return number_in(text)
    told = statement(strip_markup(said.text), has_number)
    return number_in(spelled(strip_markup(told))) if told is not None else None


def shown(number: Quantity) -> str:
    """As a person writes it: 14, 2.5, 0.214286."""
    value = number.value
    text = str(int(value)) if abs(value) < 1e15 and value == int(value) else f"{value:.6g}"
    return f"{text}%" if number.percent else text


def list_of(said: Cut) -> list[str] | None:
    """The parts of the last list in brackets, or of the list that a sentence names."""
    text = strip_markup(said.text[-WINDOW:]).replace("\\{", "[").replace("\\}", "]")
    if found := _BRACKETS.findall(text):
        return [part.strip(" '\"") for part in re.split(r"[,;]", found[-1][1:-1])]
    text = spelled(text.rpartition("=")[2] if "=" in text else text)
    told = text if "\n" not in text else (statement(text, lambda s: len(mentions(s)) > 1) or "")
    numbers = mentions(told)
    if len(numbers) < 2:
        return None
    gaps = [told[a.end : b.start] for a, b in pairwise(numbers)]
    joined = all(re.fullmatch(r"\s*(?:[,;、]|,?\s*(?:and|et|und|和|与|&))?\s*", gap) and gap.strip() for gap in gaps)
    return [told[n.start : n.end].strip() for n in numbers] if joined else None


def read(gold: str, said: Cut, contained: bool = False) -> Said:
    """Whether a cut answer states `gold`; `contained`: also where a gold of words stands among other words.

    Numbers are compared as `agrees` does. A gold of one letter must be named, as an option is.
    """
    gold = restored(gold).strip()
    text = strip_markup(said.text[-WINDOW:])
    if (whole := _PARENTHESES.fullmatch(text)) and not gold.startswith("("):
        text = whole[1].strip()
    if not text or not gold:
        return Said(None, False)
    if _SINGLE.fullmatch(gold):
        letter = choose(said, _EVERY_LETTER)
        return Said(letter or _short(text, said), letter == gold.upper())
    if same_value(gold, text) or (gold.isalnum() and gold.casefold() == plain(text).casefold()):
        return Said(plain(text), True)
    target = quantity(plain(gold))
    if target is not None and ":" not in gold:
        found = number_of(said)
        given = None if said.wrapper == "plain" else text  # an answer that was given, and is no number
        return Said(shown(found) if found else given, found is not None and agrees(target, found))
    if (groups := _BRACKETS.findall(text)) and re.search(r"[(\[]", gold) and same_value(gold, groups[-1]):
        return Said(groups[-1], True)
    if "=" in text and same_value(gold, text.rpartition("=")[2]):
        return Said(plain(text.rpartition("=")[2]), True)
    if ":" in gold and target is not None and same_value(gold, re.sub(r"(?<=\d) to (?=\d)", ":", text)):
        return Said(plain(text), True)
    told = text
    if said.wrapper == "plain" and len(text) > LONGEST_BARE_ANSWER:
        told = statement(text, lambda s: True) or ""
    if re.search(r"[^\W\d_]{3}", gold):
        right = comparable(told) == comparable(gold) or (contained and _contains(told, gold))
        return Said(_short(told, said), right)
    if contained and re.fullmatch(r"\$?[A-Z]\w+\$?", gold):  # a formula: MgS
        return Said(_short(told, said), _contains(told, gold))
    return Said(_short(told, said), False)


def _short(text: str, said: Cut) -> str | None:
    """What may be an answer in words: not the beginning of a reply that never came to one."""
    if said.wrapper == "plain" and (len(text) > LONGEST_BARE_ANSWER or _BEGINNING.match(text)):
        return None
    return text or None


_BEGINNING = re.compile(
    r"(?:to|let|let's|let me|we|i|first|okay|ok|so|looking|based|given|in order|step|here|since|if|when"
    r"|for|from|as)\b"
    r"|(?:the|this|that|a|an|these|it|there)(?: \w+)?(?: (?:is|are|was|of|in|to|shows?|depicts))?\W*$",
    re.I,
)
_OR = re.compile(r"\b(?:or|either|neither|oder|ou)\b|或", re.I)


def _contains(text: str, gold: str) -> bool:
    """Whether the words of a gold stand in a short text as such, neither denied nor as one of several."""
    text, gold = comparable(text), comparable(gold)
    found = re.search(rf"(?<![\w]){re.escape(gold)}(?![\w])", text)
    if not found or len(text) > 200 or _OR.search(text.replace(gold, "")):
        return False
    return not phrases.NEGATION.search(text[: found.start()][-40:])
