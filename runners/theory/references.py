"""The references that a drawn item might have had: what its picture and its question leave open."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from eval.benches.drawn import COVERED, KINDS, Problem
from methods import Task

HIDDEN = COVERED[1] / sum(COVERED)  # how often there is a shape under a patch


def references(problem: Problem) -> list[tuple[float, Task]]:
    """P(r | x) with answer and solution: every way to fill the patches, as they are drawn, and every way to write."""
    filled = list(_filled(problem))
    total = sum(chance for chance, _ in filled)
    return [
        (chance / total / len(one.ways), Task(one.answer, one.demonstrate(way=way)))
        for chance, one in filled
        for way in one.ways
    ]


def _filled(problem: Problem) -> Iterator[tuple[float, Problem]]:
    used = len(KINDS[problem.kind].parsed)
    covered = [i for i, group in enumerate(problem.groups[:used]) if group.covered]
    for hidden in product((0, 1), repeat=len(covered)):
        groups = list(problem.groups)
        for i, more in zip(covered, hidden, strict=True):
            groups[i] = replace(groups[i], count=groups[i].visible + more)
        counts = [group.count for group in groups]
        # Questions are asked so that nothing falls below zero, which rules some fillings out.
        below = problem.kind == "difference" and counts[0] < counts[1]
        if not below and not (problem.kind == "minus" and counts[2] > min(counts)):
            chance = math.prod(HIDDEN if more else 1 - HIDDEN for more in hidden)
            yield chance, replace(problem, groups=tuple(groups))
