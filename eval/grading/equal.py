"""Whether two final answers are the same: each is compared as what it is, an option, a number, a list, a word or an
expression. Only expressions go to math-verify, which knows neither options nor words, and reads `(3,4)` as {3, 4}.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from eval.grading.extract import last_box, option_letter, strip_markup
from eval.grading.numbers import Quantity, agrees, close, quantity, same_quantity
from eval.grading.spelling import characters, restored, spelled
from eval.grading.symbolic import Patience, same_expression

LETTERS = "ABCDEFGH"
LONGEST = 500  # characters: what is longer is no final answer


class _How(NamedTuple):
    """How two numbers are compared, and the time left for expressions (None: they are compared as text)."""

    number: Callable[[Quantity, Quantity], bool]
    patience: Patience | None


def same_answer(gold: str, found: str) -> bool:
    """Typed comparison of two final answers. Works in any thread and takes at most a second or two on any text.

    * Options: `C`, `(c)`, `C. 5 cm` name option C; of a gold `C. 5 cm` the text alone will do. `A, C` is a set.
    * Numbers: equal to six digits, whatever their spelling (1,234; 1e-7; \\frac12; 3:4; 2\\sqrt{3}). A unit is not
      judged, unless both name a known one and not the same; a percent sign may be left out or worked out (50 % = 50 =
      0.5). A decimal gold of three digits or more is taken as rounded where the found answer is exact (24/7 for
      3.429), not the other way round.
    * Lists: brackets tell tuples and intervals from sets; without brackets they may be either.
    * Equations: `x=5` is 5. Words: letter by letter but for case. The rest is math-verify's, in either order.
    """
    return _same_texts(gold, found, _How(same_quantity, Patience()))


def same_value(gold: str, found: str) -> bool:
    """As a bench compares a final answer: numbers as `agrees` does, expressions as text, and no process beside."""
    return _same_texts(gold, found, _How(agrees, None))


def _same_texts(gold: str, found: str, how: _How) -> bool:
    if max(len(gold), len(found)) > LONGEST:
        return False
    gold, found = plain(gold), plain(found)
    return bool(gold and found) and _same(gold, found, how)


def same_parts(gold: str, found: str) -> bool:
    """Whether two spelled texts are the same list, tuple or ratio."""
    if gold.count(":") and found.count(":"):
        return _same_ratio(gold, found)
    a, b = _items(gold), _items(found)
    return a is not None and b is not None and _same_items(a, b, _How(agrees, None))


def plain(text: str) -> str:
    """The answer without what wraps it, in one spelling of the many that LaTeX and Unicode have."""
    text = characters(restored(text))
    text = strip_markup(last_box(text) or text)
    text = spelled(text)
    exact, _, rounded = text.partition("\\approx")
    return (exact.strip() or rounded).strip().removesuffix(".").strip()


# --- what an answer is --------------------------------------------------------------------------------------------

_OPTION = re.compile(r"[(\[]?([A-Ha-h])[)\]]?[.:]?")
_LABELLED = re.compile(r"[(\[]?([A-H])[)\].:]+\s*(\S.*)")
_OPTIONS = re.compile(r"[(\[]?[A-H][)\]]?(?:(?: ?[,;&] ?(?:and )?| and | )?[(\[]?[A-H][)\]]?)+")
_EQUALS = re.compile(r"(?<![<>!=:])=(?!=)")
_SYMBOL = re.compile(r"[^\d\s+\-*/^=<>,][^+\-*/^=<>,]*")
_WORD = re.compile(r"(?<![\\A-Za-z])(?:[^\W\d_]{3,}|[Nn]o\b|[Uu]p\b|[Oo]n\b|[Ii]n\b)")
_SPACE = re.compile(r"(?<!\d) | (?!\d)")
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\.?)?", re.I)


def _same(gold: str, found: str, how: _How) -> bool:
    if gold == found or (_WORD.search(gold) and gold.casefold() == found.casefold()):
        return True
    if (options := _same_options(gold, found)) is not None:
        return options
    if (a := _items(gold)) and (b := _items(found)):
        return _same_items(a, b, how)
    if _EQUALS.search(gold) or _EQUALS.search(found):
        if sides := _sides(gold, found):
            return _same(*sides, how)
        # math-verify would take the right side of any gold: 5 is no answer for 2x+3y=5.
        return _EQUALS.search(found) is not None and _same_expression(gold, found, how)
    if _CLOCK.fullmatch(gold) and not _CLOCK.fullmatch(found):
        return False
    if (x := quantity(gold)) and (y := quantity(found)):
        return how.number(x, y)
    if gold.count(":") > 1 or found.count(":") > 1:
        return _same_ratio(gold, found)
    if _WORD.search(gold) or _WORD.search(found):
        return _words(gold) == _words(found)
    return _same_expression(gold, found, how)


def _same_expression(gold: str, found: str, how: _How) -> bool:
    """By math-verify, which takes `A` for `a`, and two numbers that are too small to be told apart for the same."""
    a, b = (_SPACE.sub("", text).replace("\\cdot", "*") for text in (gold, found))
    if a == b:
        return True
    ours, theirs = (set(re.findall(r"[A-Za-z]", _COMMANDS.sub("", text))) for text in (gold, found))
    if ours != theirs and {c.lower() for c in ours} == {c.lower() for c in theirs}:
        return False
    if how.patience is None or (
        "!" in gold + found and not re.search(r"[A-Za-z]", re.sub(r"\\[a-z]+", "", gold + found))
    ):
        return False
    return same_expression(gold, found, how.patience)


def _same_options(gold: str, found: str) -> bool | None:
    """None where the gold names no option."""
    if alone := _OPTION.fullmatch(gold):
        return option_letter(found, LETTERS) == alone[1].upper()
    if _OPTIONS.fullmatch(gold) and _OPTIONS.fullmatch(found) and not (gold.isalpha() and found.isalpha()):
        return set(re.findall("[A-H]", gold)) == set(re.findall("[A-H]", found))  # but triangle ACB is not ABC
    if labelled := _LABELLED.fullmatch(gold):
        letter = option_letter(found, LETTERS)
        return letter == labelled[1] if letter else plain(labelled[2]).casefold() == found.casefold()
    return None


def _sides(gold: str, found: str) -> tuple[str, str] | None:
    """What two answers with equality signs come down to: `x=5` and 5 to 5 and 5. None where they do not."""
    a, b = ([side.strip() for side in _EQUALS.split(text)] for text in (gold, found))
    if len(a) == 1:
        return gold, b[-1]  # a computation that ends in the answer
    if len(a) != 2 or not _SYMBOL.fullmatch(a[0]):
        return None
    if len(b) == 1:
        return a[1], found
    return (a[1], b[-1]) if a[0].replace(" ", "") == b[0].replace(" ", "") else None


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


# --- lists --------------------------------------------------------------------------------------------------------


class _Items(NamedTuple):
    """`brackets` is empty, or the opening and the closing one."""

    brackets: str
    parts: list[str]


_GROUPED = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\D*")
_SEPARATOR = re.compile(r"\\\{|\\\}|[()\[\]{}]|[,;、](?: ?(?:and|or)\b)?| and | or |\\text\{ and \}")
_WRAPPED = re.compile(r"(\\\{|\{|\(|\[|\])(.*?)(\\\}|\}|\)|\]|\[)", re.S)
_POINT = re.compile(r"[A-Za-z]\w{0,2}(?=\()")
_FRENCH = {"]": "(", "[": ")"}  # `]0,1[`


def _items(text: str) -> _Items | None:
    """The parts of a tuple, an interval, a set or a bare list; None for what has one part."""
    if text.count("\\pm") == 1:
        before, after = text.split("\\pm")
        return _Items("", [f"{before}{'+' * bool(before)}{after}", f"{before}-{after}"])
    if _GROUPED.fullmatch(text):
        return None
    if point := _POINT.match(text):
        text = text[point.end() :] if text.endswith(")") else text  # `P(3,-4)`
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped and (parts := _split(wrapped[2])) and len(parts) > 1:
        opening, closing = _FRENCH.get(wrapped[1], wrapped[1]) if wrapped[1] == "]" else wrapped[1], wrapped[3]
        closing = _FRENCH["["] if closing == "[" else closing
        opening, closing = ("\\{", "\\}") if (opening, closing) == ("{", "}") else (opening, closing)
        return _Items(opening + closing, parts)
    parts = _split(text)
    return _Items("", parts) if parts and len(parts) > 1 else None


def _split(text: str) -> list[str] | None:
    """The parts between separators outside all brackets; None where brackets do not match."""
    parts, start, depth = [], 0, 0
    for found in _SEPARATOR.finditer(text):
        mark = found[0]
        if mark[-1] in "([{":
            depth += 1
        elif mark[-1] in ")]}":
            depth -= 1
        elif depth == 0:
            parts.append(text[start : found.start()].strip())
            start = found.end()
        if depth < 0:
            return None
    return [*parts, text[start:].strip()] if depth == 0 else None


def _same_items(gold: _Items, found: _Items, how: _How) -> bool:
    if gold.brackets and found.brackets and gold.brackets != found.brackets:
        return False
    if len(gold.parts) != len(found.parts):
        return False
    if (gold.brackets or found.brackets)[:1] in ("(", "["):
        return all(_same(a, b, how) for a, b in zip(gold.parts, found.parts, strict=True))
    rest = list(found.parts)
    for a in gold.parts:
        match = next((b for b in rest if _same(a, b, how)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


def _same_ratio(gold: str, found: str) -> bool:
    """`1:2:3` and `2:4:6`."""
    a, b = ([quantity(part.strip()) for part in text.split(":")] for text in (gold, found))
    if len(a) != len(b) or not all(a) or not all(b):
        return False
    x, y = ([part.value for part in parts if part] for parts in (a, b))
    return all(close(x[0] * v, y[0] * u) for u, v in zip(x, y, strict=True))
