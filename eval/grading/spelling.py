"""One spelling of the many that a final answer has in LaTeX, Unicode and plain text."""

import re
import unicodedata
from collections.abc import Callable

_Rule = tuple[str, str | Callable[[re.Match[str]], str]]

# What a chat template writes between turns; a text that goes on after an end of turn is no longer the reply.
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|end|eot_id|eom_id|endoftext|end_of_text|end_of_turn|eos|assistant_end)\|>|</s>"
    r"|<(?:end_of_turn|eos|end_of_utterance)>|<\uff5cend\u2581of\u2581sentence\uff5c>"
)
_SPECIAL = re.compile(
    r"<\|im_start\|>\w*|<\|start_header_id\|>\w*|<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]>|<(?:s|pad|bos"
    r"|start_of_turn)>"
)
_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94)}
_CHARACTERS = str.maketrans(
    {
        **{chr(wide): chr(narrow) for wide, narrow in _FULL_WIDTH.items()},
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),  # spaces of many widths
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f", ""),  # of none
        **dict.fromkeys("\u2212\u2010\u2011\ufe63", "-"),  # minus and hyphens
        **dict.fromkeys("\u2018\u2019\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        "\u2126": "\u03a9", "\u00b5": "\u03bc", "\u00ba": "\u00b0", "\u2236": ":", "\u2044": "/", "\u2215": "/",
    }
)  # fmt: skip
_DASH_SIGN = re.compile(r"(?<![^\s($=:,\[{])[\u2013\u2014](?=\s?[\d.\\])")


def characters(reply: str) -> str:
    """A reply in plain characters, without the special tokens of a chat template."""
    if "<" in reply:
        end = next((m.start() for m in _END_OF_TURN.finditer(reply) if reply[: m.start()].strip()), None)
        reply = _SPECIAL.sub("", _END_OF_TURN.sub("", reply[:end]))
    if reply.isascii():
        return reply
    return _DASH_SIGN.sub("-", reply.translate(_CHARACTERS))


_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_CONTROL = {"\x0c": "\\f", "\x09": "\\t", "\x08": "\\b", "\x0d": "\\r", "\x0b": "\\v"}
_LOST = re.compile(r"[\x0c\x08\x0b](?=[a-z])|\x09(?=(?:ext|imes|frac|an|heta|riangle|o)\b|ext)|\x0d(?=(?:ight|m)\b)")


_UNIT_IN_BRACES = re.compile(r"(?<=[\d}i])\{([a-z]{5,})\}$")


def restored(gold: str) -> str:
    """A gold answer in whose LaTeX `\\f` of `\\frac` was read as a form feed, and its like, or a unit in braces."""
    return _UNIT_IN_BRACES.sub(r" \1", _LOST.sub(lambda m: _CONTROL[m[0]], gold))


def _vulgar(match: re.Match[str]) -> str:
    """`½` -> `\\frac{1}{2}`."""
    top, _, bottom = unicodedata.normalize("NFKC", match[0]).partition("\u2044")
    return f" \\frac{{{top}}}{{{bottom}}}"


def _mixed(match: re.Match[str]) -> str:
    """A whole number right before a fraction is a mixed number: `2\\frac{1}{3}` -> `\\frac{7}{3}`."""
    whole, top, bottom = (int(part) for part in match.groups()[-3:])
    return f"\\frac{{{whole * bottom + top}}}{{{bottom}}}" if top < bottom else match[0]


def _root(match: re.Match[str]) -> str:
    return f"\\sqrt{{{match[1]}}}"


_RULES_ANY: tuple[_Rule, ...] = (
    (r"</?answer>|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\limits|\\!|\\?\$|\\textdollar|\\(?=[&#_])", ""),
    (r"\\[,;: ]|\\?~|\\q?quad|\\(?:hspace|phantom)\*?\{[^{}]*\}|\s+", " "),
    (r"\\\\(?=\s|$)", " "),
    (r"\\[dtc]frac", r"\\frac"),
    (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
    (r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
    (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
    (r"\\frac ?\{ ?([^{}]*?) ?\} ?\{ ?([^{}]*?) ?\}", r"\\frac{\1}{\2}"),
    (r"\{(-?\d+)\}\s*/\s*\{(-?\d+)\}", r"\\frac{\1}{\2}"),
    (r"(?<=[\d}])\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degrees?\b|\{degrees?\}|\s?degrees?\b|\s?deg\b\.?)", "°"),
    (r"\^\s*\{?\s*\\prime\s*\}?|\u2032", "'"),
    (r"\\%|\s*\bper ?cent\b|\s*\bpercents?\b|\s*\bProzent\b|\s*\bpour ?cent\b", "%"),
    (r"\{,\}", ","),
    (r"\\Omega(?![a-z])", "Ω"), (r"\\mu(?![a-z])", "μ"), (r"\\euro(?![a-z])", "€"), (r"\\pounds(?![a-z])", "£"),
    (r"\\[lg]t(?![a-z])", lambda m: "<" if m[0] == "\\lt" else ">"),
    (r"\\cdot(?![a-z])|\\times(?![a-z])|\\ast(?![a-z])", r"\\cdot "),
    (r"(?<=\d) ?[xX] ?(?=10\s*\^)", r"\\cdot "),
    (r"\s*\\approx|\s*\\simeq|\s*\\doteq", r"\\approx "),
    (r"\\leq(?:slant)?(?![a-z])", r"\\le "),
    (r"\\geq(?:slant)?(?![a-z])", r"\\ge "),
    (r"(?<![\\A-Za-z])(sin|cos|tan|log|ln|sqrt|pi)(?![A-Za-z])", r"\\\1 "),
    (r"(?<![\\A-Za-z])sqrt(?=\d)|(?<=\d)pi(?![A-Za-z])", lambda m: f"\\{m[0]}"),
    (r"\\sqrt ?\(([^()]*)\)", _root),
    (r"\\sqrt ?(\d)(?!\d)|\\sqrt ?\{ ?\} ?(?=\d)(\d+)", lambda m: f"\\sqrt{{{m[1] or m[2]}}}"),
    (r"\^ ?(-?\d+)", r"^{\1}"),
    (r"\^ ?\(([^()]*)\)", r"^{\1}"),
    (r"(?<![\d.^_}\w])()(\d+) ?\\frac\{(\d+)\}\{(\d+)\}", _mixed),
    (r"(?<![\d./^\w])()(\d+)(?: | and | ?\+ ?(?=\d+/\d+$))(\d+)/(\d+)(?![\d./])", _mixed),
    (r"(?<![\d.,\w])\d{1,3}(?: \d{3})+(?!\d)", lambda m: m[0].replace(" ", "")),
    (r"(?<![\d.,\w'])\d{1,3}(?:'\d{3})+(?!\d)", lambda m: m[0].replace("'", "")),
)  # fmt: skip
_RULES_UNICODE: tuple[_Rule, ...] = (
    (r"[\u00bc-\u00be\u2150-\u215e]", _vulgar),
    (r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+", lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}"),
    ("[×⋅·∙✕]", r"\\cdot "), ("÷", "/"), ("π", r"\\pi "), ("∞", r"\\infty "), ("±", r"\\pm "),
    (r"√\s*\(([^()]*)\)", _root), (r"√\s*(\d+(?:\.\d+)?)", _root), ("√", r"\\sqrt"),
    ("≤", r"\\le "), ("≥", r"\\ge "), ("[≈≃≅]", r"\\approx "), ("≠", r"\\ne "),
)  # fmt: skip
_COMPILED = [(re.compile(pattern, re.I if "cent" in pattern else 0), new) for pattern, new in _RULES_ANY]
_COMPILED_UNICODE = [(re.compile(pattern), new) for pattern, new in _RULES_UNICODE]
_SPACES = re.compile(" {2,}")


def spelled(text: str) -> str:
    """An answer without layout commands, in one spelling of fractions, roots, products, degrees and thousands."""
    if not text.isascii():
        for pattern, new in _COMPILED_UNICODE:
            text = pattern.sub(new, text)
    for pattern, new in _COMPILED:
        text = pattern.sub(new, text)
    return _SPACES.sub(" ", text).strip()
