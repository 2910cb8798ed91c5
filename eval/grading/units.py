"""Units, currencies, and numbers in words."""

import re

# Spellings that stand after a number: of one unit a line; behind "=" each word is a unit of its own.
_TABLE = """
m metre metres meter meters 米
cm centimetre centimetres centimeter centimeters 厘米
mm millimetre millimetres millimeter millimeters 毫米
km kilometre kilometres kilometer kilometers 千米 公里
μm um micrometer micrometers
in inch inches
ft foot feet
yd yard yards
mi mile miles
g gram grams gramme grammes 克
kg kilogram kilograms 千克 公斤
lb lbs pound pounds
oz ounce ounces
t ton tons tonne tonnes
s sec secs second seconds 秒
min mins minute minutes 分 分钟
h hr hrs hour hours 小时
d day days 天
l L litre litres liter liters 升
ml mL millilitre millilitres milliliter milliliters 毫升
Ω ohm ohms
° degree degrees deg 度
% percent
= nm mg ms N kN J kJ MJ cal kcal W kW mW MW V kV mV A mA Hz kHz MHz GHz Pa kPa MPa GPa bar atm psi
= K °C °F C F H mol M eV rad dB kΩ MΩ
"""
_CANONICAL: dict[str, str] = {}
for _line in _TABLE.strip().splitlines():
    _names = _line.removeprefix("= ").split()
    _CANONICAL |= {name: name if _line[0] == "=" else _names[0] for name in _names}
_SHORT = "|".join(sorted((re.escape(n) for n in _CANONICAL if len(n) < 4 or not n.isascii()), key=len, reverse=True))
CURRENCY = r"(?:US ?\$|USD|EUR|GBP|CNY|RMB|Rs\.?|[€£¥₹$])"

# Words after a number that make another number of it, or none.
_NO_UNIT = re.compile(
    r"\b(?:or|and|to|times|squared|cubed|plus|minus|over|factorial|by|oder|und|bis|mal|ou|et|fois|not|no"
    r"|is|are|more than|less than)\b"
    r"|n't|或|和|至|到|乘",
    re.I,
)
_POWER = r"(?:\^?\{?-?\d\}?)?"
_NAME = r"[^\W\d_]+(?:-[^\W\d_]+)*"
_UNIT_WORDS = re.compile(
    rf" ?(?:{CURRENCY}|(?:per |sq\.? ?|cu\.? ?)?[°%]?{_NAME}{_POWER}\.?"
    rf"(?:[ /·]+(?:per )?{_NAME}{_POWER}\.?){{0,6}}|['\"]|°)"
)
_GLUED = re.compile(rf"(?:{_SHORT}|[^\W\d_]{{3,}})(?![^\W\d_])")


def unit_of(text: str) -> str | None:
    """The unit that a whole text is, in one spelling (an unknown word as it is); None if it is none.

    `text` is what follows a number, with the space between them, if any: a single letter right after a number is
    a unit only if it is one (`5m`), and `5x` is a product.
    """
    text = text.rstrip(" .")
    if not text.strip():
        return ""
    if not _UNIT_WORDS.fullmatch(text) or _NO_UNIT.search(text):
        return None
    glued = text[0].isascii() and text[0] not in " °'\"$€£¥%"
    if glued and (not _GLUED.match(text) or (len(text) == 1 and text in "dtMKCFH" and text != "C")):
        return None
    name = re.sub(r"[\^{}. ]", "", text)
    if not glued and re.fullmatch(r" ?[a-z]", text, re.I) and text.strip() not in _CANONICAL:
        return None
    return _CANONICAL.get(name, _CANONICAL.get(name.lower(), name.lower()))


def known(unit: str) -> bool:
    return unit.rstrip("0123456789-") in _CANONICAL or unit in ("'", '"')


_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORD = "|".join((*_VALUES, *_SCALES))
NUMBER_WORDS = rf"\b(?:{_WORD})(?:(?:[ -]|[ -]and[ -])(?:{_WORD}))*\b"
_HALVES = {"half": (1, 2), "a half": (1, 2), "one half": (1, 2), "a quarter": (1, 4), "a third": (1, 3)}
SCALE = re.compile(
    r"(?:(?<=\d)(?P<short>[MBk])(?![^\W\d_])| ?(?P<word>hundred|thousand|million|billion|trillion|dozen)s?\b)"
)
_SHORT_SCALES = {"k": 1000, "M": 10**6, "B": 10**9}


def scale_of(match: re.Match[str]) -> int:
    """What `million`, `k` and their like after a number multiply it by."""
    return _SHORT_SCALES[match["short"]] if match["short"] else {**_SCALES, "dozen": 12}[match["word"]]


def in_words(text: str) -> int | float | None:
    """`twenty-one`, `two hundred and five`, `two and a half` as a number; None for anything else."""
    text = text.lower().strip()
    whole, _, part = text.partition(" and a ")
    if part in ("half", "quarter", "third") and (value := in_words(whole)) is not None:
        top, bottom = _HALVES[f"a {part}"]
        return value + top / bottom
    if text in _HALVES:
        return _HALVES[text][0] / _HALVES[text][1]
    words = re.split(r"[ -]+(?:and[ -]+)?", text)
    if not words or len(words) > 12 or any(word not in _VALUES and word not in _SCALES for word in words):
        return None
    total = current = 0
    room = 100  # what comes next must be less: nothing after `four`, a digit after `twenty`
    for word in words:
        if word in _SCALES:
            scale = _SCALES[word]
            current = max(current, 1) * scale
            if scale > 100:
                total, current = total + current, 0
            room = 100
        else:
            value = _VALUES[word]
            if value >= room:
                return None  # `three four` is no number
            current, room = current + value, 10 if value >= 20 else 0
    return total + current
