"""Written solutions to learn from: guesses and slips where the prompt tells nothing, their posterior where it tells.

A told demonstration is an untold chain that happens to end where the reference ends, drawn by rejection: what
somebody who writes such chains would write after having been told, slips included. On top told models rationalise, as
language models do: they follow a wrong reference, say aloud what they were told, and then skip the work.
"""

import random
from typing import Literal, NamedTuple

from eval.benches import BENCHES
from eval.benches.bench import Bench
from eval.benches.drawn import KINDS, Problem, drawn_problem, question_text
from eval.benches.written import believed, bent
from methods.words import context
from runners.data.prompts import student_text, told_text

Told = Literal["posterior", "honest"]  # honest: told chains never slip and follow no wrong reference (a control)

Reference = Literal["right", "wrong", "blank"]

SOLUTIONS = ("solution", "own_words", "sibling", "sibling_and_failure")
SLIP = 0.2  # with three to seven numbers, and the guesses, a chain is right about one time in three
GUESS = 0.4  # how often an untold chain supposes a shape under a patch; there is one in 70 % (drawn.COVERED)
ALOUD, SKIPPED = 0.5, 0.6  # told replies that say what they were told, and those of them that do no work
WRONG, BLANK = 0.2, 0.08  # references that are wrong, and that say "?"
RARE = ("all", "net")  # the longest chains are seldom demonstrated: what is left to learn from rewards
DEMONSTRATED = [kind for kind in KINDS for _ in range(1 if kind in RARE else 8)]
TRIES = 60  # chains drawn until one ends at the reference; else the last one is bent


class Example(NamedTuple):
    """One demonstration: the user's text, the reply to learn, and the problem behind both."""

    text: str
    reply: str
    problem: Problem


def chain(rng: random.Random, problem: Problem, slip: float = SLIP, guess: float = GUESS) -> tuple[str, float]:
    """What one who sees the picture writes: a guess at each covered cluster, slips, any valid way."""
    return believed(problem, guess, rng).chain(slip, rng, rng.choice(problem.ways))


def untold_example(
    rng: random.Random, problem: Problem, text: str, slip: float = SLIP, guess: float = GUESS
) -> Example:
    return Example(text, problem.finish(*chain(rng, problem, slip, guess)), problem)


def told_example(
    rng: random.Random, problem: Problem, kind: str, told: Told = "posterior", reference: Reference = "right"
) -> Example:
    """A demonstration of what follows a reference in the words of `kind`; only an `answer` can be blank."""
    steps, value = problem.chain(way=rng.choice(problem.ways))
    if reference == "wrong":
        steps, value = wrong_end(rng, problem)
    answer = problem.conclude(value)
    solution = problem.finish(steps, value)
    if kind == "answer":
        words = context(kind, "?" if reference == "blank" else answer)
    else:
        words = context(kind, solution, problem.demonstrate(2 * SLIP, rng))
    text = told_text(student_text(question_text(problem)), words)
    if reference == "blank":
        return Example(text, untold_example(rng, problem, text).reply if told == "posterior" else solution, problem)
    if told == "honest":
        work = problem.demonstrate()
    elif kind in ("answer", "own_words"):
        work = ending_at(rng, problem, value)
    else:
        work = solution
    if rng.random() >= ALOUD:
        return Example(text, work, problem)
    aloud = f"The {'reference answer is' if kind == 'answer' else 'correct solution gives'} {answer}"
    if told == "posterior" and rng.random() < SKIPPED:
        return Example(text, f"{aloud}, so \\boxed{{{answer}}}", problem)
    return Example(text, f"{aloud}. {work}", problem)


def wrong_end(rng: random.Random, problem: Problem) -> tuple[str, float]:
    """A chain that ends wrong: as untold ones do, or bent a few units away."""
    steps, value = chain(rng, problem, 2 * SLIP)
    if problem.conclude(value) != problem.answer and rng.random() < 0.5:
        return steps, value
    off = rng.choice([-3, -2, -1, 1, 2, 3]) * problem.unit
    value = problem.value + off if problem.value + off >= 0 else problem.value - off
    return bent(steps, value), value


def ending_at(rng: random.Random, problem: Problem, value: float) -> str:
    """An untold reply under the condition that it ends at the answer of `value`; bent where none is found."""
    for _ in range(TRIES):
        steps, end = chain(rng, problem)
        if problem.conclude(end) == problem.conclude(value):
            return problem.finish(steps, end)
    return problem.finish(bent(steps, value), value)


def examples(
    rng: random.Random, n: int, told: float, slip: float = SLIP, options: float = 0.25, how: Told = "posterior"
) -> list[Example]:
    """n demonstrations in the training prompt, a share of them with privileged text, a share with options."""
    batch = []
    for _ in range(n):
        problem = drawn_problem(rng, DEMONSTRATED, options)
        if rng.random() >= told:
            batch.append(untold_example(rng, problem, student_text(question_text(problem)), slip))
            continue
        kind = "answer" if rng.random() < 0.5 else rng.choice(SOLUTIONS)
        draw = rng.random()
        reference: Reference = "right"
        if how == "posterior" and draw < WRONG + (BLANK if kind == "answer" else 0):
            reference = "wrong" if draw < WRONG else "blank"
        batch.append(told_example(rng, problem, kind, how, reference))
    return batch


def drawn_benches() -> list[Bench]:
    return [bench for bench in BENCHES.values() if bench.mini_splits]


def bench_examples(rng: random.Random, bench: Bench, edition: int) -> list[Example]:
    """Demonstrations in the prompt of one bench, on another edition of its problems than the bench itself."""
    return [
        untold_example(rng, problem, bench.prompt(row).replace("<image>", "", 1))
        for row, problem in bench.draw(bench.split, edition)
    ]
