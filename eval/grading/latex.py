"""A number out of LaTeX, safely: what MATH-V's official scorer gets from latex2sympy and `eval`, without either.

A recursive-descent parser over the small language of final answers: numbers, + - * / : ^ !, brackets, \\frac,
\\sqrt, \\pi, elementary functions and implicit products. Anything else, and any symbol without a value, raises
`Unreadable`, which the scorer counts as not equal. Sizes are bounded, so no text makes it slow.
"""

import math
import re
from collections.abc import Callable

MAX_LENGTH, MAX_DEPTH, MAX_DIGITS = 500, 40, 2000


class Unreadable(Exception):
    """The text is no number."""


Number = int | float

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\.\d+|\d+)|(?P<command>\\[a-z]+|\\.)|(?P<sign>.))",
    re.DOTALL,
)
_SPACES = {
    "$",
    "\\!",
    "\\,",
    "\\;",
    "\\:",
    "\\ ",
    "\\quad",
    "\\displaystyle",
    "\\left",
    "\\right",
}
_TIMES = {"*", "\\cdot", "\\times"}
_OVER = {"/", ":", "\\div"}
_OPEN = {
    "(": ")",
    "[": "]",
    "{": "}",
    "|": "|",
    "\\{": "\\}",
    "\\lfloor": "\\rfloor",
    "\\lceil": "\\rceil",
}
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "\\sin": math.sin,
    "\\cos": math.cos,
    "\\tan": math.tan,
    "\\arcsin": math.asin,
    "\\arccos": math.acos,
    "\\arctan": math.atan,
    "\\sinh": math.sinh,
    "\\cosh": math.cosh,
    "\\tanh": math.tanh,
    "\\exp": math.exp,
    "\\ln": math.log,
    "\\log": math.log10,
}


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise Unreadable
        self.tokens = [t[0].strip() for t in _TOKEN.finditer(text) if t[0].strip() and t[0].strip() not in _SPACES]
        self.at = self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise Unreadable

    def sum(self) -> Number:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        self.depth -= 1
        return value

    def product(self) -> Number:
        value = self.signed()
        while True:
            if self.peek() in _TIMES:
                self.take()
                value = value * self.signed()
            elif self.peek() in _OVER:
                self.take()
                value = _divide(value, self.signed())
            elif self.starts_factor():
                value = value * self.power()
            else:
                return value

    def starts_factor(self) -> bool:
        token = self.peek()
        return (
            token[:1].isdigit()
            or token[:1] == "."
            or token in ("(", "{", "[", "\\{", "\\frac", "\\sqrt", "\\pi", *_FUNCTIONS)
        )

    def signed(self) -> Number:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        value = self.power()
        return -value if negative else value

    def power(self) -> Number:
        value = self.atom()
        while self.peek() == "!":
            self.take()
            value = _factorial(value)
        if self.peek() != "^":
            return value
        self.take()
        return _power(value, self.group())

    def group(self) -> Number:
        """A braced group, or one signed atom: the argument of ^ and of commands."""
        if self.peek() == "{":
            return self.bracket()
        if self.peek() == "-":
            self.take()
            return -self.group()
        return self.atom()

    def bracket(self) -> Number:
        opening = self.take()
        value = self.sum()
        self.expect(_OPEN[opening])
        if opening == "\\lfloor":
            return math.floor(value)
        if opening == "\\lceil":
            return math.ceil(value)
        return abs(value) if opening == "|" else value

    def atom(self) -> Number:
        token = self.peek()
        if token in _OPEN:
            return self.bracket()
        self.take()
        if token[:1].isdigit() or token[:1] == ".":
            digits = token.replace(",", "")
            return float(digits) if "." in digits else int(digits)
        if token == "\\pi":
            return math.pi
        if token == "\\frac":
            top = self.group()
            return _divide(top, self.group())
        if token == "\\sqrt":
            return self.root()
        if token in _FUNCTIONS:
            return _FUNCTIONS[token](float(self.group() if self.peek() == "{" else self.power()))
        raise Unreadable

    def root(self) -> Number:
        degree: Number = 2
        if self.peek() == "[":
            degree = self.bracket()
        return _power(self.group(), _divide(1, degree))


def _divide(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int) and b and a % b == 0:
        return a // b
    return a / b


def _factorial(n: Number) -> int:
    if not isinstance(n, int) or not 0 <= n <= 100:
        raise Unreadable
    return math.factorial(n)


def _power(base: Number, exponent: Number) -> Number:
    if base and abs(exponent) * abs(math.log10(abs(base))) > MAX_DIGITS:
        raise Unreadable
    value = base**exponent
    if isinstance(value, complex):
        raise Unreadable
    return value


def value_of(text: str) -> Number:
    """The number that a LaTeX text states, ints exact; raises Unreadable.

    As in latex2sympy, text after an unmatched closing bracket is not looked at.
    """
    parser = _Parser(text)
    try:
        value = parser.sum()
        if parser.peek() not in ("", "}", ")", "]") or not math.isfinite(value):
            raise Unreadable
    except (ArithmeticError, ValueError, RecursionError) as error:
        raise Unreadable from error
    return value
