"""A number out of LaTeX, safely: what MATH-V's official scorer gets from latex2sympy2 1.9.1 and `eval`, without either.

A recursive-descent parser over the small language of final answers. Its oddities are those of latex2sympy, seen by
running it on answers of real models: an implicit product binds closer than a slash (`1/2\\pi` is 1/(2*pi)), powers
group to the left, an exponent is a number or in braces, `\\frac` and `\\sqrt` need braces, and text is read up to the
first token that cannot go on (`30.since` and `2 triangles` are numbers: a full stop and `tr` are such tokens). Any
letter, |x| and \\ln raise `Unreadable`, as `eval` knows no such names. Sizes are bounded, so no text makes it slow.
"""

import math
import re
from collections.abc import Callable
from itertools import islice

MAX_TOKENS, MAX_DEPTH, MAX_DIGITS = 500, 40, 2000


class Unreadable(Exception):
    """The text is no number."""


Number = int | float

# Words that are one token there, each the name of a function of its own.
_WORDS = (
    "arccosh|arcosh|arcsinh|arctanh|arsinh|artanh|bmatrix|ceil|cols|diag|eig|eye|floor|gcd|hstack|lcm|matrix|norm|"
    "nullspace|ones|orth|pmatrix|rank|rows|rref|svd|tr|vmatrix|vstack|zeros"
)
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n$~]+|\\,|\\q?quad|\\displaystyle|\\left(?![a-z])|\\right(?![a-z]))|"
    rf"[0-9]+(?:,[0-9]{{3}})*(?:\.[0-9]+)?(?:\\%)?|\.[0-9]+(?:\\%)?|\\[a-z]+|\\.|{_WORDS}|<->|<=>|.",
    re.DOTALL,
)
_NUMBER = re.compile(r"\.?[0-9]")
_TIMES = {"*", "\\cdot", "\\times"}
_OVER = {"/", ":", "\\div", "\\over"}
_OPEN = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lbrace": "\\rbrace", "\\lfloor": "\\rfloor"}
# What may follow a whole expression: it ends there, and the rest is not looked at.
_END = {
    "", ".", "&", "_", "\\\\", "<->", "<=>", "\\leftrightarrow", "\\to", "\\rightarrow", "\\longrightarrow",
    "\\xrightarrow", "\\choose", "\\rvert", "\\rceil", *_OPEN.values(), *_WORDS.split("|"),
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    **{f"\\{name}": getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp")},
    **{f"\\arc{name}": getattr(math, f"a{name}") for name in ("sin", "cos", "tan")},
}
_BINOM = ("\\binom", "\\dbinom", "\\tbinom")
_PLAIN_FACTORS = {*_OPEN, *_BINOM, "\\frac", "\\pi"}
_FACTORS = {*_PLAIN_FACTORS, *_FUNCTIONS, "\\sqrt", "\\log", "e"}


def _tokens(text: str) -> list[str]:
    found = list(islice(_TOKEN.finditer(text), MAX_TOKENS + 1))
    tokens = [token[0] for token in found[:MAX_TOKENS] if token.lastgroup != "space"]
    return tokens if len(found) <= MAX_TOKENS else [*tokens, "too long"]


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
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
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self, functions: bool = True) -> Number:
        value = self.signed(functions)
        while self.peek() in _TIMES | _OVER:
            if self.take() in _TIMES:
                value = value * self.signed(functions)
            else:
                value = value / self.signed(functions)
        return value

    def signed(self, functions: bool) -> Number:
        """Signs, then factors without a sign between them."""
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        value = self.power()
        while _NUMBER.match(self.peek()) or self.peek() in (_FACTORS if functions else _PLAIN_FACTORS):
            value = value * self.power()
        return -value if negative else value

    def power(self) -> Number:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable
        value = self.atom()
        while self.peek() == "^":
            self.take()
            value = _power(value, self.braced() if self.peek() == "{" else self.constant())
        while self.peek() in ("!", "'"):
            value = _factorial(value) if self.take() == "!" else value  # a prime transposes, which a number survives
        self.depth -= 1
        return value

    def atom(self) -> Number:
        token = self.peek()
        if token in _OPEN:
            return self.bracket()
        if _NUMBER.match(token) or token == "\\pi":
            return self.constant()
        self.take()
        if token == "\\frac":
            top = self.braced()
            return top / self.braced()
        if token in _BINOM:
            return _choose(self.braced(), self.braced())
        if token == "\\sqrt":
            degree = self.bracket() if self.peek() == "[" else 2
            return _power(self.braced(), 1 / degree)
        if token == "e":
            self.expect("^")
            return _power(math.e, self.braced() if self.peek() == "{" else self.constant())
        if token == "\\log":
            return self.logarithm()
        if token in _FUNCTIONS:
            return _FUNCTIONS[token](self.argument())
        raise Unreadable

    def constant(self) -> Number:
        token = self.take()
        if token == "\\pi":
            return math.pi
        if not _NUMBER.match(token):
            raise Unreadable
        digits = token.removesuffix("\\%").replace(",", "")
        value = float(digits) if "." in digits else int(digits)
        if digits != token.replace(",", ""):
            value = value / 100
        return int(value) if value == int(value) else value

    def bracket(self) -> Number:
        opening = self.take()
        value = self.sum()
        self.expect(_OPEN[opening])
        return math.floor(value) if opening == "\\lfloor" else value

    def braced(self) -> Number:
        if self.peek() != "{":
            raise Unreadable
        return self.bracket()

    def argument(self) -> float:
        """What a function is applied to: a parenthesis, else a product in which no function occurs."""
        return float(self.bracket() if self.peek() == "(" else self.product(functions=False))

    def logarithm(self) -> float:
        base: Number = 10
        if self.peek() == "_":
            self.take()
            base = self.braced() if self.peek() == "{" else self.constant()
        return math.log(self.argument(), base)


def _choose(n: Number, k: Number) -> int:
    if not (isinstance(n, int) and isinstance(k, int)) or not 0 <= k <= n <= 1000:
        raise Unreadable
    return math.comb(n, k)


def _factorial(n: Number) -> int:
    if not isinstance(n, int) or not 0 <= n <= 200:
        raise Unreadable
    return math.factorial(n)


def _power(base: Number, exponent: Number) -> Number:
    if base and abs(exponent) * abs(math.log10(abs(base))) > MAX_DIGITS:
        raise Unreadable
    value = base**exponent
    if isinstance(value, complex):
        raise Unreadable
    return value


def leading_value(text: str) -> Number:
    """The number that a text begins with, as latex2sympy reads it; raises Unreadable."""
    return _read(text, _END)


def value_of(text: str) -> Number:
    """The number that a whole text states; raises Unreadable."""
    return _read(text, {""})


def _read(text: str, ends: set[str]) -> Number:
    parser = _Parser(text)
    try:
        value = parser.sum()
        if parser.peek() not in ends or not math.isfinite(value):
            raise Unreadable
    except (ArithmeticError, ValueError) as error:
        raise Unreadable from error
    return value
