"""The number that a sentence is about, and the sentence of a reply that states its answer.

`14 apples on the 2 trees` is about 14, `not 15 but 14` too; `14 or 15` is about neither. Every step is linear in the
text but for a bounded window, and reads at most the last 2,000 characters.
"""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from eval.grading import phrases
from eval.grading.numbers import Quantity, close, quantity
from eval.grading.spelling import spelled
from eval.grading.units import CURRENCY, NUMBER_WORDS, SCALE, known, unit_of

WINDOW = 2000
MOST = 40  # numbers that a sentence may name and still be about one
LONG = 300  # characters of a reply that ends within a sentence because it was cut there

_NESTED = r"(?:[^{}]|\{[^{}]*+\})*+"
_NUMBER = r"(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d+)?|\d++(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<!\d)\.\d+)"
_ATOM = (
    rf"(?:\\frac\{{{_NESTED}\}}\{{{_NESTED}\}}|\\sqrt(?:\[\d\])?\{{{_NESTED}\}}|\\pi(?![a-z])|{_NUMBER})"
    r"(?:\^\{[^{}]*+\})?"
)
_PRODUCT = rf"{_ATOM}(?:(?: ?(?:\\cdot|[*/:]) ?| ?(?=\\(?:frac|sqrt|pi))){_ATOM}){{0,8}}"
_MENTION = re.compile(
    rf"(?P<sign>(?<![\w)\]}}°%.'])-[ ]?(?={CURRENCY}?[\d.\\])"
    rf"|\b(?:minus|negative|moins) (?={CURRENCY}?[\d.\\])|负)?{CURRENCY}?"
    rf"(?P<body>{_PRODUCT}(?:(?: [-+] |[-+](?=\\)|(?<=\}})[-+]|(?<=\\pi)[-+]){_PRODUCT}){{0,6}})!?"
)
_WORDS = re.compile(NUMBER_WORDS, re.I)
_UNIT_AFTER = re.compile(r" ?%| ?°(?:[CF]\b)?| ?[^\W\d_]+(?:\^\{-?\d\})?(?:/[^\W\d_]+(?:\^\{-?\d\})?)?")
_PARENTHESIS = re.compile(r"\((?![^()]*=)[^()]*\)")
_SENTENCES = re.compile(r"(?<=[\w)\]}%*\"'°])[.?!](?:\*\*)?(?=\s|$)(?<!\d\.(?=\s[a-z]))|[。！？]|\n|;(?=\s)")
_ORDINAL = re.compile(r"(?:st|nd|rd|th|D)\b|-(?:sided|th)")
_GOES_ON = re.compile(r"\s*(?:[-+*/^]\s*(?:[A-Za-z]\b|\()|\\pm|\\[lc]?dots)")  # `180 - A` is no number
_ENUMERATOR = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.)]\s+|step \d+\s*[:.]\s*)", re.I)
_PRONOUN_BEFORE = re.compile(r"(?:\b(?:is|are|only|just|exactly|was)|[=:]|^)\W*$", re.I)


class Mention(NamedTuple):
    """A number in a sentence: where it begins, and where its figure and its unit end."""

    start: int
    figure_end: int
    end: int
    value: Quantity


def mentions(text: str) -> list[Mention]:
    """The numbers in a spelled text, without ordinals, and without what belongs to a name (`x2`, `H3`, `2x`)."""
    found: list[Mention] = []
    for match in _MENTION.finditer(text):
        start, end = match.start(), match.end("body")
        if found and start < found[-1].end:
            continue  # the exponent of a unit
        if len(found) == MOST:
            break
        if match[0].endswith("!") and text[match.end() : match.end() + 1].strip():
            end = match.end()
        if (start and ((text[start - 1].isascii() and text[start - 1].isalnum()) or text[start - 1] in "_^\\.")) or (
            _ORDINAL.match(text, end) or _GOES_ON.match(text, end)
        ):
            continue
        if scale := SCALE.match(text, end):
            end = scale.end()
        figure_end = end
        if unit := _UNIT_AFTER.match(text, end):
            glued = unit[0][0].isascii() and unit[0][0].isalpha()
            if unit_of(unit[0]) is not None and not re.fullmatch(r" ?(?:i|a|I|A)", unit[0]):
                end = unit.end()
            elif glued:
                continue
        value = quantity(text[start:end]) or quantity(text[start:figure_end])
        if value is not None:
            found.append(Mention(start, figure_end, end, value))
    return found


def _word_mentions(text: str) -> list[Mention]:
    found = []
    for match in _WORDS.finditer(text):
        lone = match[0].lower() in ("one", "zero", "second")
        if (value := quantity(match[0])) and (not lone or _PRONOUN_BEFORE.search(text[: match.start()][-30:])):
            sign = re.search(r"\b(?:minus|negative) $", text[: match.start()][-10:], re.I)
            found.append(
                Mention(match.start(), match.end(), match.end(), value._replace(value=-value.value) if sign else value)
            )
    return found


def number_in(sentence: str) -> Quantity | None:
    """The number that one spelled sentence is about; None where it names none, or several alike."""
    sentence = _ENUMERATOR.sub("", sentence[:WINDOW])
    if whole := quantity(sentence):
        return whole
    if phrases.REFUSAL.search(sentence):
        return None
    if phrases.NONE_THERE.fullmatch(sentence.strip(" .")):
        return Quantity(0)
    bare = _PARENTHESIS.sub(lambda m: " " * len(m[0]), sentence)
    for text in (bare, sentence):
        found = mentions(text)
        if not found and not re.search(r"\d", text):
            found = _word_mentions(text)
            if len({m.value.value for m in found}) > 1:
                return None  # words are counted less carefully
        if found:
            return _about(text, found) if len(found) < MOST else None
    return None


def has_number(sentence: str) -> bool:
    """Whether a sentence names numbers, be it one or several."""
    text = spelled(sentence)
    return bool(mentions(text)) or number_in(text) is not None


def _about(text: str, found: list[Mention]) -> Quantity | None:
    found = [m for m in found if not _denied(text, m)]
    if not found:
        return None
    start, end = _main_clause(text, found)
    inside = [m for m in found if start <= m.start < end] or found
    chosen = _chosen(text, inside, start, end)
    return None if chosen is None or _one_of_several(text, inside, chosen) else chosen.value


_CALLED_WRONG = re.compile(rf"\s*{phrases.WRONG}", re.I)


def _denied(text: str, mention: Mention) -> bool:
    before = text[: mention.start][-40:]
    wrong = _CALLED_WRONG.match(text, mention.end) or _CALLED_WRONG.match(text, mention.figure_end)
    return bool(phrases.NEGATION.search(before) or phrases.BOUND.search(before) or wrong)


def _main_clause(text: str, found: list[Mention]) -> tuple[int, int]:
    """Where the statement stands: behind what leads to it and the last "so", and before what explains it."""
    start, end = 0, len(text)
    starts = [m.start for m in found]
    if (lead := phrases.LEADING.match(text)) and any(s >= lead.end() for s in starts):
        start = lead.end()
    start = concluded(text, starts, start)
    if (lead := phrases.LEADING.match(text[start:])) and any(s >= start + lead.end() for s in starts):
        start += lead.end()
    for reason in phrases.REASON.finditer(text, start):
        if reason.start() > start and any(start <= s < reason.start() for s in starts):
            return start, reason.start()
    return start, end


def concluded(text: str, places: Collection[int], start: int = 0) -> int:
    """Where begins what follows from the reasons: behind the last "so" with one of `places` after it, else `start`."""
    ends = [mark.end() for mark in phrases.CONCLUSION.finditer(text, start)]
    return max((end for end in ends if any(place >= end for place in places)), default=start)


_EQUALS = re.compile(r"(?<![<>!=])=(?!=)")
_OPENING = re.compile(r"[\s\W]*(?:about|approximately|around|exactly|only|just|roughly|\\approx|to)?\W*")
_AND_ALSO = re.compile(r"[,;] *(?:and|but|und|et)\b|\b(?:and|but) (?:there|it|the|he|she|they|each)\b|[,;，；]", re.I)


def _chosen(text: str, found: list[Mention], start: int, end: int) -> Mention | None:
    """The number that remains, or after the last "=", or where the clause begins, or after "is", or after a verb."""
    for mention in found:
        if phrases.LEFT_OVER.match(text, mention.end) or phrases.LEFT_OVER.match(text, mention.figure_end):
            return mention
    equals = [m.end() for m in _EQUALS.finditer(text, start, end) if any(m.end() <= n.start for n in found)]
    copulas = [c.end() for c in phrases.COPULA.finditer(text, start, end) if any(c.end() <= n.start for n in found)]
    if equals and not (copulas and copulas[-1] > equals[-1]):
        return next(m for m in found if m.start >= equals[-1])
    if not equals and _OPENING.fullmatch(text[start : found[0].start]):
        return found[0]
    chosen: Mention | None = None
    for at in copulas:
        mention = next(m for m in found if m.start >= at)
        gap = text[chosen.end : at] if chosen else ""
        if len(text[at : mention.start].split()) > 5 or (chosen is not None and mention is chosen):
            continue
        if chosen is None or (_AND_ALSO.search(gap) and not phrases.SUBORDINATE.search(_AND_ALSO.split(gap)[-1])):
            chosen = mention
    if chosen is not None:
        return chosen
    after = [m for m in found if any(v.end() <= m.start for v in phrases.VERB.finditer(text, start, end))]
    if after:
        return after[0]
    followed = [m for m in found if phrases.VERB.match(text, m.end + 1)]
    if len(followed) == 1:
        return followed[0]
    return found[0] if all(close(m.value.value, found[0].value.value) for m in found) else None


def _one_of_several(text: str, found: list[Mention], chosen: Mention) -> bool:
    """Whether another number stands beside the chosen one as its equal: `14 or 15`, `13 and 14`, `3, 4, 5`, `6-10`."""
    at = found.index(chosen)
    if at + 1 < len(found) and not close(found[at + 1].value.value, chosen.value.value):
        unit_is_known = known(chosen.value.unit)
        between = text[chosen.end if unit_is_known else chosen.figure_end : found[at + 1].start]
        if len(between) < 30 and (
            (
                re.fullmatch(r"[\s\W]*(?:(?:or|and|to|through|oder|und|bis|ou|et|à|或|和|与|至|到)[\s\W]*)?", between)
                and not re.search(r"[:;=.]|\\approx|\\to", between)
            )
            or (phrases.HEDGE.search(between) and len(between.split()) <= 4)
        ):
            return True
    if at and not close(found[at - 1].value.value, chosen.value.value):
        between = text[found[at - 1].end : chosen.start]
        if len(between) < 20 and phrases.HEDGE.search(between) and len(between.split()) <= 3:
            return True
    return bool(phrases.BETWEEN.search(text[: chosen.start][-12:])) and len(found) > at + 1


def statement(text: str, says: Callable[[str], bool]) -> str | None:
    """The sentence of a reply that states its answer: one that `says` something, or None.

    A lone answer in the first paragraph; else the last of the last sentences that concludes ("so") or is labelled as a
    total or a result; else the last sentence. A reply that breaks off in a sentence has stated nothing.
    """
    text = text[-WINDOW:].strip()
    first = text.partition("\n\n")[0].strip()
    if first != text and len(first.split()) <= 3 and "=" not in first and says(first):
        return first
    speaking = [s for s in _statements(text) if says(s)]
    told = [s for s in speaking[-2:] if phrases.CONCLUSION.search(s) or phrases.LABEL.search(s)]
    labelled = [s for s in speaking if phrases.LABEL.search(s)]
    best = told or labelled or speaking
    return best[-1] if best else None


def agreed(text: str, says: Callable[[str], str | None]) -> str | None:
    """What the last sentences conclude; else what all sentences that say something agree on; None where they do not.

    `says` gives what a sentence says, None for nothing. Unlike a number, a name that occurs is not yet an answer.
    """
    sentences = _statements(text[-WINDOW:].strip())
    said = [(said, bool(phrases.CONCLUSION.search(s))) for s in sentences if (said := says(s)) is not None]
    if concluded := [what for what, concludes in said[-2:] if concludes]:
        return concluded[-1]
    return said[-1][0] if said and len({what for what, _ in said}) == 1 else None


def _statements(text: str) -> list[str]:
    """The sentences without asides; none where the last of several breaks off."""
    sentences = [s for s in _split(text) if not phrases.ASIDE.match(s)]
    return [] if len(sentences) > 1 and breaks_off(text) else sentences


def _split(text: str) -> list[str]:
    parts, at = [], 0
    for mark in _SENTENCES.finditer(text):
        parts.append(text[at : mark.start()])
        at = mark.end()
    return [part.strip() for part in (*parts, text[at:]) if part.strip()]


_ENDED = re.compile(r"[.!?。！？)\]}\"'*`$%°✓✔✅>]\s*$|\\\]\s*$|\d\s*$|[A-J]\s*$")
_OPEN_END = re.compile(
    r"(?:[,:(=+/*-]|\b(?:the|a|an|of|to|is|are|and|or|in|on|at|by|for|with|that|so|but|this|we|it|let|be"
    r"|from|as|which|than|"
    r"then|not|if|would|can|has|have|there|these|those|its|I|i|my|you|their|into|because|since))\s*$"
)


def breaks_off(text: str) -> bool:
    """Whether a text of several sentences ends within one."""
    last = text.rstrip()[-200:]
    if _OPEN_END.search(last):
        return True
    within = not _ENDED.search(last) and len(_split(last)[-1].split()) > 4
    return within and (len(text) > LONG or phrases.THINKING.search(text) is not None)


def thinks_aloud(text: str) -> bool:
    """Whether a reply reads as a thought whose opening tag stood in the prompt, and that never ended."""
    return bool(phrases.THINKING.search(text)) and breaks_off(text)
