"""Which parts of a written chain are slips, given what came before."""

import random
import statistics

import pytest

from eval.benches.drawn import KINDS, Group, Problem, Scene, drawn_problem
from eval.benches.written import believed, bent, skips_work, statements

GROUPS = (Group(3, "red", "circle", covered=True), Group(2, "blue", "square"), Group(1, "green", "triangle"))
PROBLEM = Problem(Scene(GROUPS, ((), (), ())), "both", GROUPS, (2, 3))  # 2 * 3 + 3 * 2 = 12


def slips(reply: str, problem: Problem = PROBLEM) -> list[tuple[str, str | None, str]]:
    return [(s.part, s.right, s.said) for s in statements(problem, reply) if s.slip]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I see red circles=3, blue squares=2, 2*3=6, 3*2=6, 6+6=12, so \\boxed{12}", []),
        ("I see red circles=2, blue squares=2, 2*2=4, 3*2=6, 4+6=10, so \\boxed{10}", [("count", "3", "2")]),
        ("I see red squares=3, blue squares=2, 2*3=6", [("shape", "circle", "square")]),
        ("I see red circles=3, 2*3=7, blue squares=2, 3*2=6, 7+6=13", [("result", "6", "7")]),
        ("I see red circles=3, 2*4=8", [("operand", None, "4")]),
        ("I see black circles=3, so \\boxed{3}", [("shape", None, "circle"), ("count", None, "3")]),
        ("I see red circles=3, so \\boxed{4}", [("answer", "3", "4")]),
        ("The reference answer is 12, so \\boxed{12}", [("answer", None, "12")]),
        ("I see red circles=3, 3-6=0", [("operand", None, "6")]),
    ],
)
def test_a_slip_is_blamed_once_and_where_it_happens(reply: str, expected: list[tuple[str, str | None, str]]) -> None:
    assert slips(reply) == expected


def test_letters_follow_the_last_number() -> None:
    problem = Problem(PROBLEM.scene, "both", GROUPS, (2, 3), ("12", "13", "14", "15"))
    head = "I see red circles=3, blue squares=2, 2*3=6, 3*2=6, 6+6=12"
    assert slips(f"{head}(A) so \\boxed{{A}}", problem) == []
    assert slips(f"{head}(B) so \\boxed{{A}}", problem) == [("option", "A", "B")]


def test_every_demonstration_is_read_whole_and_without_a_slip() -> None:
    rng = random.Random(0)
    for _ in range(300):
        problem = drawn_problem(rng, list(KINDS))
        for way in problem.ways:
            found = statements(problem, text := problem.demonstrate(way=way))
            assert not any(s.slip for s in found)
            assert sum(s.decisive for s in found) == KINDS[problem.kind].numbers
            assert all(text[s.start : s.end] == s.said for s in found)
            used = problem.groups[: len(KINDS[problem.kind].parsed)]
            assert sum(s.doubt for s in found) == sum(group.covered for group in used)


def test_a_number_that_slips_is_found() -> None:
    rng = random.Random(1)
    for _ in range(300):
        problem = drawn_problem(rng)
        reply = problem.demonstrate(0.2, rng)
        assert any(s.slip for s in statements(problem, reply)) == (reply != problem.demonstrate())


def test_a_believer_guesses_at_covered_clusters_alone() -> None:
    assert believed(PROBLEM, 1.0, random.Random(0)).groups == PROBLEM.groups
    assert believed(PROBLEM, 0.0, random.Random(0)).value == 2 * 2 + 3 * 2
    rng = random.Random(0)
    taken = [believed(PROBLEM, 0.4, rng).groups[0].count for _ in range(2000)]
    assert set(taken) == {2, 3}
    assert statistics.mean(taken) == pytest.approx(2.4, abs=0.04)


def test_steps_are_bent_at_their_last_number() -> None:
    assert bent("I see red circles=3, 2*3=6, ", 8) == "I see red circles=3, 2*3=8, "


def test_work_that_is_skipped_is_seen() -> None:
    assert skips_work("The reference answer is 12, so \\boxed{12}")
    assert not skips_work(PROBLEM.demonstrate())
    assert not skips_work("I give up")
