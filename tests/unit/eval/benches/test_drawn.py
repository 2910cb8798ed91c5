"""The drawn problems: what the picture shows is what the chain says."""

import random
import statistics

import pytest

from eval.benches.drawn import (
    COLOURS,
    KINDS,
    TRAINING_KINDS,
    Group,
    Problem,
    Scene,
    drawn_problem,
    make_problem,
    make_scene,
    with_options,
)
from runners.embedded.demonstrations import SLIP

GROUPS = (Group(3, "red", "circle"), Group(2, "blue", "square"), Group(1, "green", "triangle"))
SCENE = Scene(GROUPS, ((), (), ()))

BY_HAND = {  # 3 red, 2 blue, 1 green; weights 2 and 3
    "count": "3",
    "half": "1.5",
    "sum": "5",
    "difference": "1",
    "weighted": "8",
    "total": "6",
    "both": "12",
    "minus": "7",
    "all": "13",
}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_by_hand(kind: str) -> None:
    problem = Problem(SCENE, kind, GROUPS, (2, 3))
    assert problem.answer == BY_HAND[kind]
    text = problem.demonstrate()
    assert text.endswith(f"\\boxed{{{BY_HAND[kind]}}}")
    assert text.count("=") == KINDS[kind].numbers


def test_the_picture_shows_the_counts() -> None:
    for seed in range(20):
        scene = make_scene(random.Random(seed))
        pixels = scene.picture().load()
        for group, centres in zip(scene.groups, scene.centres, strict=True):
            assert len(centres) == group.count
            for x, y in centres:
                assert pixels[x, y] == COLOURS[group.colour]
        assert len({c for centres in scene.centres for c in centres}) == sum(g.count for g in scene.groups)


def test_the_slip_rate_leaves_the_demonstrations_right_about_one_time_in_three() -> None:
    rng = random.Random(1)
    right = []
    for _ in range(3000):
        problem = drawn_problem(rng)
        right.append(problem.conclude(problem.chain(SLIP, rng)[1]) == problem.answer)
    assert 0.3 < statistics.mean(right) < 0.42


def test_options_hold_the_answer_once_and_its_neighbours() -> None:
    rng = random.Random(2)
    for kind in KINDS:
        for _ in range(50):
            problem = with_options(make_problem(rng, kind), 4)
            values = [float(o) for o in problem.options]
            assert values.count(problem.value) == 1
            assert problem.options["ABCD".index(problem.answer)] == problem.options[values.index(problem.value)]
            step = 0.5 if kind == "half" else 1
            assert max(values) - min(values) == 3 * step
            assert min(values) >= 0


def test_the_same_seed_draws_the_same_problem() -> None:
    a, b = drawn_problem(random.Random(5)), drawn_problem(random.Random(5))
    assert a == b
    assert a.scene.picture().tobytes() == b.scene.picture().tobytes()
    assert {drawn_problem(random.Random(i)).kind for i in range(200)} == set(TRAINING_KINDS)
