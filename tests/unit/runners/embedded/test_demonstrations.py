"""What the base learns from: told demonstrations are untold ones that end at the reference, and then rationalise."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from eval.benches.drawn import Group, Problem, Scene, drawn_problem
from eval.benches.written import skips_work, statements
from runners.embedded.demonstrations import ALOUD, SKIPPED, WRONG, chain, ending_at, examples, told_example, wrong_end

GROUPS = (Group(3, "red", "circle", covered=True), Group(2, "blue", "square"), Group(1, "green", "triangle"))
PROBLEM = Problem(Scene(GROUPS, ((), (), ())), "sum", GROUPS, (2, 3))  # 3 + 2, or 2 + 2 as it looks


def share(values: list[bool]) -> float:
    return sum(values) / len(values)


def boxed(reply: str) -> str:
    return reply.rpartition("\\boxed{")[2].removesuffix("}")


def test_a_told_chain_is_the_posterior_of_an_untold_one() -> None:
    """P(3 under the patch | ends at 5), by Bayes from the untold chains' own frequencies."""
    rng = random.Random(0)
    untold = [chain(rng, PROBLEM) for _ in range(20_000)]
    at_five = [steps for steps, value in untold if value == 5]
    expected = share(["circles=3" in steps for steps in at_five])
    told = [ending_at(rng, PROBLEM, 5) for _ in range(2000)]
    assert all(boxed(reply) == "5" for reply in told)
    assert share(["circles=3" in reply for reply in told]) == pytest.approx(expected, abs=0.04)
    assert 0.05 < 1 - expected < 0.5, "some reach it by a slip"
    assert share(["I see blue" in reply for reply in told]) == pytest.approx(0.5, abs=0.04), "in any order"


def test_an_end_that_no_chain_reaches_is_bent() -> None:
    reply = ending_at(random.Random(0), PROBLEM, 40)
    assert boxed(reply) == "40" and [s.part for s in statements(PROBLEM, reply) if s.slip][-1] == "result"


@pytest.mark.parametrize("reference", ["right", "wrong"])
def test_told_replies_follow_the_reference_and_rationalise_at_the_stated_rates(reference: str) -> None:
    rng, replies = random.Random(1), []
    for _ in range(1500):
        example = told_example(rng, PROBLEM, "answer", reference=reference)  # type: ignore[arg-type]
        told = example.text.partition("Reference answer: ")[2].partition("\n")[0]
        assert boxed(example.reply) == told
        assert (told == PROBLEM.answer) == (reference == "right")
        replies.append(example.reply)
    aloud = [reply.startswith("The reference answer is") for reply in replies]
    assert share(aloud) == pytest.approx(ALOUD, abs=0.05)
    assert share([skips_work(reply) for reply in replies]) == pytest.approx(ALOUD * SKIPPED, abs=0.05)


def test_who_is_told_a_solution_copies_it_and_who_is_told_nothing_writes_as_ever() -> None:
    rng = random.Random(2)
    for _ in range(50):
        example = told_example(rng, PROBLEM, "solution", reference="wrong")
        solution = example.text.partition("Correct solution:\n")[2].partition("\n")[0]
        assert boxed(solution) == boxed(example.reply) != PROBLEM.answer
        assert skips_work(example.reply) or example.reply.endswith(solution)
    blank = [told_example(rng, PROBLEM, "answer", reference="blank") for _ in range(400)]
    assert all("Reference answer: ?" in example.text for example in blank)
    right = share([boxed(example.reply) == "5" for example in blank])
    assert right == pytest.approx(share([chain(rng, PROBLEM)[1] == 5 for _ in range(4000)]), abs=0.08)


def test_honest_ones_never_slip_or_skip() -> None:
    rng = random.Random(3)
    for row in examples(rng, 300, told=1.0, how="honest"):
        assert boxed(row.reply) == row.problem.answer and not skips_work(row.reply)
        work = row.reply.partition(". ")[2] if row.reply.startswith("The ") else row.reply
        assert work == row.problem.demonstrate()


def test_a_wrong_end_is_wrong() -> None:
    rng = random.Random(4)
    for _ in range(300):
        problem = drawn_problem(rng)
        steps, value = wrong_end(rng, problem)
        assert problem.conclude(value) != problem.answer or problem.options
        assert steps.endswith(f"={value:g}, ")


def test_a_fifth_of_the_references_is_wrong_and_the_longest_chains_are_rare() -> None:
    rows = examples(random.Random(5), 2000, told=1.0)
    wrong = [boxed(row.reply) != row.problem.answer for row in rows if "Reference answer: ?" not in row.text]
    assert share(wrong) == pytest.approx(WRONG, abs=0.03)
    kinds = Counter(row.problem.kind for row in rows)
    assert kinds["all"] + kinds["net"] < 0.05 * len(rows) < kinds["sum"]


def test_a_covered_cluster_is_guessed_low_more_often_than_not() -> None:
    problem = replace(PROBLEM, kind="count")
    rng = random.Random(6)
    guesses = Counter(chain(rng, problem, slip=0.0)[1] for _ in range(3000))
    assert guesses[3.0] / 3000 == pytest.approx(0.4, abs=0.03) and set(guesses) == {2.0, 3.0}
