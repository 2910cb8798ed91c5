"""Written chains: what one who is unsure of the picture writes, and which parts of a reply are slips.

`statements` reads any reply in the words of a demonstration: every shape, number, letter and boxed answer that it
states, with the right one *given what came before*, so that a chain that goes on from a slip is not blamed twice.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

from eval.benches.drawn import COLOURS, SHAPES, Group, Problem, computed, number

_COUNT = rf"(?P<colour>{'|'.join(COLOURS)}) (?P<shape>{'|'.join(SHAPES)})s=(?P<count>\d+(?:\.\d+)?)"
_STEP = r"(?P<x>\d+(?:\.\d+)?)(?P<op>[-+*])(?P<y>\d+(?:\.\d+)?)=(?P<result>\d+(?:\.\d+)?)"
_STATED = re.compile(rf"{_COUNT}|{_STEP}|(?<=\d)\((?P<option>[A-H])\)|\\boxed\{{(?P<answer>[^{{}}]*)\}}")

Part = Literal["shape", "count", "operand", "result", "option", "answer"]


class Statement(NamedTuple):
    """What a reply states at characters [start, end), and what would be right there, None where nothing would.

    The right count is the true one, also under a patch, where `doubt` says that the picture leaves it open.
    """

    start: int
    end: int
    part: Part
    right: str | None
    said: str
    doubt: bool = False

    @property
    def slip(self) -> bool:
        return self.said != self.right

    @property
    def decisive(self) -> bool:
        """Whether the chain's end is decided here: what comes of counting and calculating. The rest only copies."""
        return self.part in ("count", "result")


def statements(problem: Problem, reply: str) -> list[Statement]:
    """Everything that the reply states about the problem, in order."""
    return list(_statements(problem, reply))


def skips_work(reply: str) -> bool:
    """Whether a reply answers without a single step."""
    return "\\boxed{" in reply and "=" not in reply


def _statements(problem: Problem, reply: str) -> Iterator[Statement]:
    groups = {group.colour: group for group in problem.scene.groups}
    known = {number(w) for w in problem.weights} | {"0.5"}  # what a step may calculate with
    last: float | None = None
    for found in _STATED.finditer(reply):

        def stated(part: str, right: str | None, doubt: bool = False, found: re.Match[str] = found) -> Statement:
            name = {"operand": "x", "second": "y"}.get(part, part)
            kind = "operand" if part == "second" else part
            return Statement(*found.span(name), kind, right, found[name], doubt)  # type: ignore[arg-type]

        if found["count"]:
            group: Group | None = groups.get(found["colour"])
            yield stated("shape", group.shape if group else None)
            yield stated("count", number(group.count) if group else None, group is not None and group.covered)
            last = float(found["count"])
        elif found["op"]:
            for part, said in (("operand", found["x"]), ("second", found["y"])):
                yield stated(part, said if said in known else None)
            x, y = float(found["x"]), float(found["y"])
            yield stated("result", number(computed(x, found["op"], y)))
            last = float(found["result"])
        else:
            part = "option" if found["option"] else "answer"
            yield stated(part, None if last is None else problem.conclude(last))
            continue
        known.add(number(last))


def believed(problem: Problem, guess: float, rng: random.Random) -> Problem:
    """The problem as one takes it who supposes a shape under a patch with probability `guess`."""
    groups = tuple(
        replace(group, count=group.visible + (rng.random() < guess)) if group.covered else group
        for group in problem.groups
    )
    return replace(problem, groups=groups)


def bent(steps: str, value: float) -> str:
    """Steps whose last number is made to be `value`."""
    return f"{steps.rpartition('=')[0]}={number(value)}, "
