"""The one reader of numbers, for grading and for reward: what number a final answer states, and when two are the same.

An answer is a figure and what stands around it: `\\approx 12 \\text{ cm}^2`, `8{,}200`, `2\\frac13`, `1.2 × 10^-4`,
`minus fourteen`, `28.6 %`. What has other words around it is a sentence: `sentence.py` finds the figure in one.
"""

import re
from typing import NamedTuple

from eval.grading.latex import Unreadable, value_of
from eval.grading.units import CURRENCY, SCALE, in_words, known, scale_of, unit_of

EXACT = 1e-6  # relative: 0.3333333 is 1/3 and 0.3333 is not
LONGEST = 300  # characters of a figure


class Quantity(NamedTuple):
    """`decimals` counts the places of a decimal figure, `figures` its significant ones; None and 0 for an exact one."""

    value: int | float
    unit: str = ""
    percent: bool = False
    decimals: int | None = None
    figures: int = 0


_AROUND = re.compile(
    rf"(?:{CURRENCY}|~|≈|\\approx|\\sim|=|:|(?:about|approximately|approx\.?|around|roughly|nearly|almost"
    rf"|exactly|only|just"
    r"|some|ca\.?|circa|etwa|ungefähr|rund|genau|environ|exactement|约|大约|共|即|the|\+(?=[\d.]))(?![a-zäöü])) *",
    re.I,
)
_MINUS = re.compile(r"(?:minus|negative|moins|负)[ -]*(?=[^ -])|- +(?=[\d.\\])", re.I)
_REMARK = re.compile(r"(?<=[\w})°%'\"]) +\((?=[^()]*[^\W\d_]{3})[^()]*\)$")
_DECIMAL = re.compile(r"[-+]?(?:(?P<grouped>\d{1,3}(?:,\d{3})+)|\d+)?(?:\.(?P<places>\d*))?(?P<power>e[-+]?\d+)?", re.I)
_UNIT_AT_END = re.compile(r"(?:(?<=[\d)}°%!])|(?<=\\pi))(?= ?[^\s\d\\(){}^!+*/=<>,;:.-])[^\\=<>,;:+*!?]{1,60}$")
_ADJACENT = re.compile(r"\d\s+[\d.]|\d +\((?=[\d +*/-]+\)$)|[\d}]\s*\\text")
_BRACKETED = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]|\\\{([^{}]*)\\\}|\{([^{}]*)\}")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan)")
_IN_DEGREES = re.compile(r"(\d+(?:\.\d+)?)°")


def quantity(text: str) -> Quantity | None:
    """The number that a whole spelled text states; None if it states none, several, or something else with it."""
    text = text.strip().rstrip(".,;:?。，；？ ").strip()
    if not text or len(text) > LONGEST:
        return None
    if (whole := _BRACKETED.fullmatch(text)) and "," not in text:
        return quantity(next(part for part in whole.groups() if part is not None))
    sign = 1
    for _ in range(4):
        if around := _AROUND.match(text):
            text = text[around.end() :]
        elif minus := _MINUS.match(text):
            sign, text = -sign, text[minus.end() :]
        elif re.match(rf"-{CURRENCY}", text):
            sign, text = -sign, text[1:]
        else:
            break
    text = _REMARK.sub("", text)
    if (whole := _BRACKETED.fullmatch(text)) and "," not in text:
        text = next(part for part in whole.groups() if part is not None)
    found = _figure_with_unit(text)
    return found._replace(value=sign * found.value) if found else None


def _figure_with_unit(text: str) -> Quantity | None:
    if (value := in_words(text)) is not None:
        return Quantity(value)
    figure, unit, scale, percent = text, "", 1, False
    if (words := re.match(r"([A-Za-z -]+?)(?= [^\W\d_]+$|$)", text)) and (value := in_words(words[1])) is not None:
        named = unit_of(text[words.end() :])
        return Quantity(value, named) if named is not None else None
    if (tail := _UNIT_AT_END.search(text)) and not _DECIMAL.fullmatch(text):
        figure, rest = text[: tail.start()], tail[0]
        if multiple := SCALE.match(text, tail.start()):
            scale, rest = scale_of(multiple), text[multiple.end() :]
        if rest.lstrip().startswith("%"):
            percent, rest = True, rest.lstrip()[1:]
        elif rest == "°" and _TRIGONOMETRIC.search(figure):
            figure, rest = text, ""
        named = unit_of(rest)
        if named is None:
            return None
        unit = named
    elif text.endswith(("%", " %")):
        figure, percent = text.rstrip("% "), True
    if figure.endswith("%"):
        figure, percent = figure.rstrip("% "), True
    if figure.endswith("°") and not _TRIGONOMETRIC.search(figure):
        figure, unit = figure.rstrip("° "), "°"
    if unit == "%":
        unit, percent = "", True
    number = _figure(figure.strip())
    if number and scale != 1:
        number = Quantity(number.value * scale)
    return number._replace(unit=unit, percent=percent) if number else None


def _figure(figure: str) -> Quantity | None:
    plain = _DECIMAL.fullmatch(figure)
    mantissa = figure.removesuffix(plain["power"] or "") if plain else ""
    if plain and (digits := re.sub(r"\D", "", mantissa)):
        digits, places = digits.lstrip("0"), plain["places"]
        value: int | float = float(figure.replace(",", ""))
        if value in (float("inf"), float("-inf")):
            return None
        if places is None and not plain["power"]:
            value = int(figure.replace(",", ""))
        return Quantity(value, decimals=len(places) if places else None, figures=len(digits) if places else 0)
    if (
        _ADJACENT.search(figure)
        or figure.count(":") > 1
        or "'" in figure
        or "," in re.sub(r"(?<=\d),(?=\d{3})", "", figure)
    ):
        return None  # two numbers side by side would be multiplied
    if "°" in figure:  # inside a function degrees count
        figure = _IN_DEGREES.sub(r"(\1\\cdot\\pi/180)", figure)
    try:
        value = value_of(figure)
    except Unreadable:
        return None
    if value == 0 and re.search(r"[1-9]", figure) and "!" in figure:
        return None  # too small to be told from others
    scientific = re.fullmatch(r"-?\d+\.(\d+) ?\\cdot ?10\^\{[-+]?\d+\}", figure)
    if scientific:
        return Quantity(value, figures=len(scientific[1]) + 1)
    return Quantity(value)


def close(a: int | float, b: int | float) -> bool:
    """Equal to six digits; whole numbers to all."""
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    try:
        return abs(a - b) <= EXACT * max(abs(a), abs(b))
    except OverflowError:
        return a == b


def units_differ(gold: Quantity, found: Quantity) -> bool:
    """Whether both name a unit that is known, and not the same one: `60°` and `60'`."""
    return bool(gold.unit and found.unit and gold.unit != found.unit and known(gold.unit) and known(found.unit))


def same_quantity(gold: Quantity, found: Quantity) -> bool:
    """Equal to six digits, a percent sign left out or worked out.

    A decimal gold of three digits or more is taken as rounded where the found number is exact (24/7 for 3.429), not
    the other way round.
    """
    if units_differ(gold, found):
        return False
    if close(gold.value, found.value):
        return gold.percent == found.percent or gold.percent or abs(gold.value) >= 1
    if gold.percent != found.percent:
        return close(*(n.value / 100 if n.percent else n.value for n in (gold, found)))
    if gold.decimals and gold.figures >= 3 and found.decimals is None:
        return _rounds_to(gold, found.value)
    return False


def agrees(gold: Quantity, found: Quantity) -> bool:
    """As a bench compares numbers: also where one is the other, correctly rounded to two places or more.

    `3.46` and `2\\sqrt{3}` agree, as do 0.286 and 0.29; 3.4 and 24/7 do not, nor do 0.01 and 1/64.
    """
    if same_quantity(gold, found):
        return True
    if units_differ(gold, found):
        return False
    a, b = gold, found
    if a.percent != b.percent:
        a, b = (_as_share(n) for n in (a, b))
    for rounded, other in ((a, b), (b, a)):
        if (rounded.decimals or 0) >= 2 and rounded.figures >= 2 and _rounds_to(rounded, other.value):
            return other.decimals is None or other.decimals > (rounded.decimals or 0)
    return False


def _as_share(number: Quantity) -> Quantity:
    """`66.67 %` -> 0.6667."""
    if not number.percent:
        return number
    decimals = number.decimals + 2 if number.decimals is not None else 2
    return number._replace(value=number.value / 100, percent=False, decimals=decimals, figures=max(number.figures, 2))


def _rounds_to(rounded: Quantity, value: int | float) -> bool:
    return abs(rounded.value - value) <= 0.5 * 10.0 ** -(rounded.decimals or 0) * (1 + EXACT)
