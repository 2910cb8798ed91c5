import random

import pytest

from eval.benches.drawn import drawn_problem
from runners.theory.measured import references


def test_references_are_a_distribution_that_holds_the_true_one() -> None:
    rng = random.Random(0)
    for _ in range(40):
        problem = drawn_problem(rng)
        found = references(problem)
        assert sum(chance for chance, _ in found) == pytest.approx(1)
        assert problem.answer in {task.answer for _, task in found}
        assert problem.demonstrate() in {task.solution for _, task in found}
        for _, task in found:
            assert task.solution is not None
            assert task.solution.endswith(f"\\boxed{{{task.answer}}}"), "each solution arrives at its own answer"
