"""The references that a drawn item might have had: what its picture and its question leave open."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from eval.benches import drawn
from eval.benches.drawn import KINDS, Problem
from methods import Task


def references(problem: Problem) -> list[tuple[float, Task]]:
    """P(r | x) with answer and solution: every way to fill the patches, as they are drawn, and every way to write.

    Where no cluster is covered and a chain has one way, this is the one reference, and nothing is left open.
    """
    filled = list(_filled(problem))
    total = sum(chance for chance, _ in filled)
    found = []
    for chance, one in filled:
        written = _written(one)
        found += [(chance / total / len(written), Task(one.answer, text)) for text in written]
    return found


def _written(problem: Any) -> list[str]:
    ways = getattr(problem, "ways", None)
    return [problem.demonstrate(way=way) for way in ways] if ways else [problem.demonstrate()]


def _filled(problem: Problem) -> Iterator[tuple[float, Problem]]:
    even, odd = getattr(drawn, "COVERED", (1, 1))  # how often such a count is covered: odd ones have a hidden shape
    groups: tuple[Any, ...] = problem.groups
    used = len(KINDS[problem.kind].terms.split("n")) - 1
    covered = [i for i, group in enumerate(groups[:used]) if getattr(group, "covered", False)]
    for hidden in product((0, 1), repeat=len(covered)):
        there = list(groups)
        for i, more in zip(covered, hidden, strict=True):
            there[i] = replace(groups[i], count=groups[i].visible + more)
        counts = [group.count for group in there]
        # Questions are asked so that nothing falls below zero, which rules some fillings out.
        below = problem.kind == "difference" and counts[0] < counts[1]
        if not below and not (problem.kind == "minus" and counts[2] > min(counts)):
            yield math.prod(odd if more else even for more in hidden), replace(problem, groups=tuple(there))
