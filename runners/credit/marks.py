"""Which characters of a drawn problem's reply are decisive, and which are slips: where credit should stand."""

from typing import NamedTuple

from eval.benches.drawn import Problem
from eval.benches.written import statements

Span = tuple[int, int]
BLAMED = ("shape", "count", "operand", "result")  # a wrong letter or box only follows from what was written before it


class Marks(NamedTuple):
    """Spans of characters, in order: `decisive` are all counts and results, right or wrong; `stated` is everything that
    could be a slip, shape names and copied numbers too; `slips` are what of it is wrong given what came before."""

    decisive: list[Span]
    stated: list[Span]
    slips: list[Span]


def marks(problem: Problem, reply: str) -> Marks:
    found = statements(problem, reply)
    stated = [one for one in found if one.part in BLAMED]
    return Marks(
        [(one.start, one.end) for one in found if one.decisive],
        [(one.start, one.end) for one in stated],
        [(one.start, one.end) for one in stated if one.slip],
    )
