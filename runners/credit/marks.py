"""Which characters of a drawn problem's reply are decisive, and which of these are slips.

Decisive is every number that a step states: nothing else can go wrong. A slip is one that does not follow: a count
that is not the picture's, or a result that is not that of the two numbers before it. What goes on rightly from a slip
is none, and nor is the answer in the box.
"""

import re
from typing import NamedTuple

from eval.benches.drawn import Problem

_STEP = re.compile(r"(?:(?P<colour>[a-z]+) [a-z]+|(?P<x>[\d.]+)(?P<op>[-+*])(?P<y>[\d.]+))=(?P<value>\d+(?:\.\d+)?)")
Span = tuple[int, int]


class Marks(NamedTuple):
    """Spans of characters, in order; `slips` are among `decisive`."""

    decisive: list[Span]
    slips: list[Span]


def marks(problem: Problem, reply: str) -> Marks:
    counts = {group.colour: group.count for group in problem.groups}
    decisive, slips = [], []
    for step in _STEP.finditer(reply):
        decisive.append(step.span("value"))
        due = float(counts.get(step["colour"], -1)) if step["colour"] else _result(step)
        if float(step["value"]) != due:
            slips.append(step.span("value"))
    return Marks(decisive, slips)


def slips(problem: Problem, reply: str) -> list[Span]:
    return marks(problem, reply).slips


def _result(step: re.Match[str]) -> float:
    x, y = float(step["x"]), float(step["y"])
    return max(0.0, x + y if step["op"] == "+" else x - y if step["op"] == "-" else x * y)
