"""The verifiable rewards: is a reply's final answer the reference answer, and does it stand where the prompt asks?

An answer is an option, a number, a list, a word or an expression, and each is compared as what it is. Only expressions
go to math-verify, which knows neither options nor words, and reads `2\\sqrt{3}` as 2 and `(3,4)` as {3, 4}.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from eval.grading.extract import cut, last_box, option_letter, strip_markup
from eval.grading.latex import Unreadable, value_of
from eval.grading.symbolic import Patience, same_expression

LETTERS = "ABCDEFGH"
LONGEST, LONGEST_BARE = 500, 40  # characters: what is longer is no final answer, in a wrapper and without one
EXACT = 1e-6  # relative: 0.3333333 is 1/3 and 0.3333 is not, as in math-verify


def accuracy(completions: list[list[dict[str, Any]]], answer: list[str], **_: Any) -> list[float]:
    """TRL's reward function: 1 for a right reply, else 0."""
    return [float(is_right(c[-1]["content"], a)) for c, a in zip(completions, answer, strict=True)]


def formatted(completions: list[list[dict[str, Any]]], **_: Any) -> list[float]:
    """TRL's reward function: 1 where the reply ends in one closed box.

    After the thought, if there is one, a box occurs once; it is closed and not empty; and nothing comes after it but
    the rest of its line and closing marks. `so \\boxed{7} points.` is in form; a second box, a box in a thought that
    never ends, a box cut at the token limit and a paragraph after the box are not.
    """
    return [float(_in_form(c[-1]["content"])) for c in completions]


_THOUGHT_END = re.compile(r"</(?:think|thought|thinking)>", re.I)
_THOUGHT = re.compile(r"<(?:think|thought|thinking)>", re.I)
_CLOSING = re.compile(r"(?:\s|\$|\\\]|\\\)|\*|\.|</answer>)*", re.I)


def _in_form(reply: str) -> bool:
    said = _THOUGHT_END.split(reply)[-1]
    box = last_box(said)
    if not box or said.count("\\boxed") != 1 or _THOUGHT.search(said):
        return False
    after = said.partition("\\boxed")[2].partition(box)[2].partition("}")[2]
    return _CLOSING.fullmatch(after.partition("\n")[2]) is not None


def is_right(reply: str, answer: str) -> bool:
    """Whether the final answer cut out of a reply is the reference answer; a reply without one is wrong."""
    found, wrapper = cut(reply)
    if wrapper == "plain" and len(found) > LONGEST_BARE:
        return False  # a chain that was cut off at `2+3=5` has not answered
    return same_answer(answer, found)


def same_answer(gold: str, found: str) -> bool:
    """Typed comparison of two final answers. Works in any thread and takes at most a second or two on any text.

    * Options: `C`, `(c)`, `C. 5 cm` name option C; of a gold `C. 5 cm` the text alone will do. `A, C` is a set.
    * Numbers: equal to six digits, whatever their spelling (1,234; 1e-7; \\frac12; 3:4; 2\\sqrt{3}). A unit is not
      judged; a percent sign may be left out or worked out (50 % = 50 = 0.5). A decimal gold of three digits or more is
      taken as rounded where the found answer is exact (24/7 for 3.429), not the other way round.
    * Lists: brackets tell tuples and intervals from sets; without brackets they may be either.
    * Equations: `x=5` is 5. Words: letter by letter but for case. The rest is math-verify's, in either order.
    """
    if max(len(gold), len(found)) > LONGEST:
        return False
    gold, found = _plain(gold), _plain(found)
    return bool(gold and found) and _same(gold, found, Patience())


# --- one spelling -------------------------------------------------------------------------------------------------

_SPELLINGS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"</?answer>|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\!|\\?\$", ""),
    (r"\\[,;: ]|~|\\q?quad|\s+", " "),
    (r"\\[dt]frac", r"\\frac"), (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
    (r"(?<=\d)\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree|°|\s?degrees?\b|º)", "°"),
    (r"\\%|\s*percent\b", "%"), (r"\{,\}", ","), ("−", "-"), ("×|⋅|·", r"\\cdot "), ("÷", "/"),
    ("π", r"\\pi "), ("∞", r"\\infty "), ("√", r"\\sqrt"), ("±", r"\\pm "), ("²", "^2"), ("³", "^3"),
    (r"≤|\\leq(?:slant)?(?![a-z])", r"\\le "), (r"≥|\\geq(?:slant)?(?![a-z])", r"\\ge "), ("≈", r"\\approx "),
    (r"(?<![\\A-Za-z])(sin|cos|tan|log|ln|sqrt|pi)(?![A-Za-z])", r"\\\1 "),
    (r"\\sqrt ?\(([^()]*)\)", r"\\sqrt{\1}"),
    # A whole number right before a fraction is a mixed number, digits in threes are one number.
    (r"(?<![\d.^_}])(\d+) ?\\frac\{(\d+)\}\{(\d+)\}", r"(\1+\\frac{\2}{\3})"),
    (r"(?<![\d./^])(\d+) (\d+)/(\d+)(?![\d.])", r"(\1+\2/\3)"),
    (r"(?<![\d.,])\d{1,3}(?: \d{3})+(?!\d)", lambda m: m[0].replace(" ", "")),
)  # fmt: skip
_RULES = [(re.compile(pattern), new) for pattern, new in _SPELLINGS]


def _plain(text: str) -> str:
    """The answer without what wraps it, in one spelling of the many that LaTeX and Unicode have."""
    text = strip_markup(last_box(text) or text)
    for pattern, new in _RULES:
        text = pattern.sub(new, text)
    exact, _, rounded = text.partition("\\approx")
    return (exact.strip() or rounded).strip().removesuffix(".").strip()


# --- what an answer is --------------------------------------------------------------------------------------------

_OPTION = re.compile(r"[(\[]?([A-Ha-h])[)\]]?[.:]?")
_LABELLED = re.compile(r"[(\[]?([A-H])[)\].:]+\s*(\S.*)")
_OPTIONS = re.compile(r"[(\[]?[A-H][)\]]?(?:(?: ?[,;&] ?| and | )?[(\[]?[A-H][)\]]?)+")
_EQUALS = re.compile(r"(?<![<>!=:])=(?!=)")
_SYMBOL = re.compile(r"[^\d\s+\-*/^=<>,][^+\-*/^=<>,]*")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")


def _same(gold: str, found: str, patience: Patience) -> bool:
    if gold.casefold() == found.casefold():
        return True
    if (options := _same_options(gold, found)) is not None:
        return options
    if (a := _items(gold)) and (b := _items(found)):
        return _same_items(a, b, patience)
    if _EQUALS.search(gold) or _EQUALS.search(found):
        if sides := _sides(gold, found):
            return _same(*sides, patience)
        # math-verify would take the right side of any gold: 5 is no answer for 2x+3y=5.
        return _EQUALS.search(found) is not None and same_expression(gold, found, patience)
    if (x := _number(gold)) and (y := _number(found)):
        return _same_number(x, y)
    if gold.count(":") > 1 or found.count(":") > 1:
        return _same_ratio(gold, found)
    if gold.isalpha() or _WORD.search(gold) or _WORD.search(found):
        return _words(gold) == _words(found)
    return same_expression(gold, found, patience)


def _same_options(gold: str, found: str) -> bool | None:
    """None where the gold names no option."""
    if alone := _OPTION.fullmatch(gold):
        return option_letter(found, LETTERS) == alone[1].upper()
    if _OPTIONS.fullmatch(gold) and _OPTIONS.fullmatch(found) and not (gold.isalpha() and found.isalpha()):
        return set(re.findall("[A-H]", gold)) == set(re.findall("[A-H]", found))  # but triangle ACB is not ABC
    if labelled := _LABELLED.fullmatch(gold):
        letter = option_letter(found, LETTERS)
        return letter == labelled[1] if letter else _plain(labelled[2]).casefold() == found.casefold()
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
_SEPARATOR = re.compile(r"\\\{|\\\}|[()\[\]{}]|[,;]| and | or ")


def _items(text: str) -> _Items | None:
    """The parts of a tuple, an interval, a set or a bare list; None for what has one part."""
    if text.count("\\pm") == 1:
        before, after = text.split("\\pm")
        return _Items("", [f"{before}{'+' * bool(before)}{after}", f"{before}-{after}"])
    if _GROUPED.fullmatch(text):
        return None
    wrapped = re.fullmatch(r"(\\\{|\(|\[)(.*)(\\\}|\)|\])", text)
    if wrapped and (parts := _split(wrapped[2])) and len(parts) > 1:
        return _Items(wrapped[1] + wrapped[3], parts)
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


def _same_items(gold: _Items, found: _Items, patience: Patience) -> bool:
    if gold.brackets and found.brackets and gold.brackets != found.brackets:
        return False
    if len(gold.parts) != len(found.parts):
        return False
    if (gold.brackets or found.brackets)[:1] in ("(", "["):
        return all(_same(a, b, patience) for a, b in zip(gold.parts, found.parts, strict=True))
    rest = list(found.parts)
    for a in gold.parts:
        match = next((b for b in rest if _same(a, b, patience)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


# --- numbers ------------------------------------------------------------------------------------------------------


class _Number(NamedTuple):
    """`decimals` is None for what is no decimal fraction of three digits or more."""

    value: int | float
    percent: bool
    exact: bool
    decimals: int | None


_PLAIN = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.(\d*))?(?:e[-+]?\d+)?", re.I)
_UNIT = re.compile(r"(?<=[\d)}°]) ?(?:[A-Za-zµΩ]+\^?\{?-?\d?\}?[ /]?)+|(?<=\\pi) (?:[A-Za-zµΩ]+\^?\{?-?\d?\}?[ /]?)+")
_UNITS = re.compile(r"[mcdk]?m|in|ft|yd|mi|[mk]?g|lb|oz|m?s|hr?|m?[lL]|k?[NJWg]|[mk]?[VA]|k?Hz|k?Pa|[CFK]")


def _number(text: str) -> _Number | None:
    """The number that a text states, its unit left out; None if it states none or several."""
    percent = text.endswith("%")
    figure = _without_unit(text.removesuffix("%").strip())
    if plain := _PLAIN.fullmatch(figure):
        digits = re.sub(r"e.*|[^\d]", "", figure, flags=re.I).lstrip("0")
        if not re.search(r"\d", figure):
            return None
        decimals = len(plain[1]) if plain[1] and len(digits) >= 3 else None
        return _Number(float(figure.replace(",", "")), percent, plain[1] is None, decimals)
    if re.search(r"\d\s+[\d.]", figure) or figure.count(":") > 1:
        return None  # value_of would multiply the one, and divide twice in the other
    if _split(figure) is None:
        return None
    try:
        return _Number(value_of(figure), percent, "." not in figure, None)
    except Unreadable:
        return None


def _without_unit(text: str) -> str:
    """`12 cm`, `12cm^2`, `7 points` -> the figure. One letter is a unit after a space only: `5m` may be a product."""
    unit = None
    for unit in _UNIT.finditer(text):  # noqa: B007
        pass
    if unit and unit.end() == len(text):
        names = re.findall(r"[A-Za-zµΩ]+", unit[0])
        spaced = unit[0].startswith(" ") or text[unit.start() - 1] == "°"
        if all((len(n) > 2 or _UNITS.fullmatch(n)) and (spaced or len(n) > 1 or n != names[0]) for n in names):
            text = text[: unit.start()]
    if "°" in text and "\\" in text:  # inside a function degrees count
        return re.sub(r"(\d+(?:\.\d+)?)°", r"(\1\\cdot\\pi/180)", text)
    return text.removesuffix("°").strip()


def _same_number(gold: _Number, found: _Number) -> bool:
    if _close(gold.value, found.value):
        return True
    if gold.percent != found.percent:
        return _close(*(n.value / 100 if n.percent else n.value for n in (gold, found)))
    if gold.decimals is not None and found.exact:
        return abs(gold.value - found.value) <= 0.5 * 10.0**-gold.decimals * (1 + EXACT)
    return False


def _close(a: int | float, b: int | float) -> bool:
    try:
        return abs(a - b) <= EXACT * max(abs(a), abs(b))
    except OverflowError:
        return a == b


def _same_ratio(gold: str, found: str) -> bool:
    """`1:2:3` and `2:4:6`."""
    a, b = ([_number(part.strip()) for part in text.split(":")] for text in (gold, found))
    if len(a) != len(b) or not all(a) or not all(b):
        return False
    x, y = ([part.value for part in parts if part] for parts in (a, b))
    return all(_close(x[0] * v, y[0] * u) for u, v in zip(x, y, strict=True))
