"""Written solutions to learn from: with slips where the prompt tells nothing, without where it tells the answer.

Half of the told ones say aloud what they were told, as told language models do.
"""

import random
from typing import NamedTuple

from eval.benches import BENCHES
from eval.benches.bench import Bench
from eval.benches.drawn import KINDS, Problem, drawn_problem, question_text
from methods.words import context
from runners.data.prompts import student_text, told_text

SOLUTIONS = ("solution", "own_words", "sibling", "sibling_and_failure")
SLIP = 0.28  # with three to six numbers a chain is right about one time in three


class Example(NamedTuple):
    """One demonstration: the user's text, the reply to learn, and the problem behind both."""

    text: str
    reply: str
    problem: Problem


def told_example(rng: random.Random, problem: Problem, kind: str) -> Example:
    right, wrong = problem.demonstrate(), problem.demonstrate(2 * SLIP, rng)
    told = context(kind, problem.answer if kind == "answer" else right, wrong)
    text = told_text(student_text(question_text(problem)), told)
    aloud = f"The {'reference answer is' if kind == 'answer' else 'correct solution gives'} {problem.answer}. "
    return Example(text, (aloud if rng.random() < 0.5 else "") + right, problem)


def untold_example(rng: random.Random, problem: Problem, text: str, slip: float = SLIP) -> Example:
    return Example(text, problem.demonstrate(slip, rng), problem)


def examples(rng: random.Random, n: int, told: float, slip: float = SLIP, options: float = 0.25) -> list[Example]:
    """n demonstrations in the training prompt, a share of them with privileged text, a share with options."""
    batch = []
    for _ in range(n):
        problem = drawn_problem(rng, list(KINDS), options)
        if rng.random() < told:
            batch.append(told_example(rng, problem, "answer" if rng.random() < 0.5 else rng.choice(SOLUTIONS)))
        else:
            batch.append(untold_example(rng, problem, student_text(question_text(problem)), slip))
    return batch


def drawn_benches() -> list[Bench]:
    return [bench for bench in BENCHES.values() if bench.mini_splits]


def bench_examples(rng: random.Random, bench: Bench, edition: int) -> list[Example]:
    """Demonstrations in the prompt of one bench, on another edition of its problems than the bench itself."""
    return [
        untold_example(rng, problem, bench.prompt(row).replace("<image>", "", 1))
        for row, problem in bench.draw(bench.split, edition)
    ]
