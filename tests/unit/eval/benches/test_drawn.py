"""The drawn problems: what the picture shows is what the chain says."""

import random
import statistics

import pytest

from eval.benches.drawn import (
    COLOURS,
    COVERED,
    KINDS,
    PATCH,
    PLACES,
    TRAINING_KINDS,
    Group,
    Problem,
    Scene,
    drawn_problem,
    make_problem,
    make_scene,
    with_options,
)
from runners.embedded.demonstrations import chain

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
    "net": "11",
}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_by_hand(kind: str) -> None:
    problem = Problem(SCENE, kind, GROUPS, (2, 3))
    assert problem.answer == BY_HAND[kind]
    text = problem.demonstrate()
    assert text.endswith(f"\\boxed{{{BY_HAND[kind]}}}")
    assert text.count("=") == KINDS[kind].numbers


def middle(centres: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    xs, ys = zip(*centres, strict=True)
    return (min(xs) + max(xs)) // 2, (min(ys) + max(ys)) // 2


def test_a_covered_picture_fits_two_counts_and_nothing_else_tells_them_apart() -> None:
    for count in (2, 4):
        one, more = (
            Scene((Group(n, "red", "circle", covered=True),), (tuple((8 + x, 8 + y) for x, y in PLACES[n]),))
            for n in (count, count + 1)
        )
        assert one.picture().tobytes() == more.picture().tobytes()


def test_there_is_a_shape_under_seven_patches_in_ten_and_a_fifth_of_the_clusters_is_covered() -> None:
    groups = [group for seed in range(4000) for group in make_scene(random.Random(seed)).groups]
    covered = [group for group in groups if group.covered]
    assert len(covered) / len(groups) == pytest.approx(0.8 * sum(COVERED) / 2, abs=0.015)
    assert statistics.mean(group.count % 2 for group in covered) == pytest.approx(0.7, abs=0.04)
    assert {group.count for group in covered} == {2, 3, 4, 5}


def test_the_picture_shows_the_counts() -> None:
    for seed in range(60):
        scene = make_scene(random.Random(seed))
        pixels = scene.picture().load()
        for group, centres in zip(scene.groups, scene.centres, strict=True):
            assert len(centres) == group.count
            for x, y in centres:  # the patch hides the middle of an odd number
                hidden = group.covered and (x, y) == middle(centres)
                assert pixels[x, y] == (PATCH if hidden else COLOURS[group.colour])
            if group.covered:
                assert pixels[middle(centres)] == PATCH
                assert group.visible == sum(pixels[x, y] == COLOURS[group.colour] for x, y in centres)
        assert len({c for centres in scene.centres for c in centres}) == sum(g.count for g in scene.groups)


WAYS = {"count": 1, "half": 1, "sum": 2, "difference": 1, "weighted": 2, "total": 12, "both": 2, "minus": 2, "all": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_is_another_text_with_the_same_end(kind: str) -> None:
    problem = make_problem(random.Random(3), kind)
    texts = [problem.demonstrate(way=way) for way in problem.ways]
    assert len(set(texts)) == len(texts) == WAYS.get(kind, 2)
    assert {text.rpartition("=")[2] for text in texts} == {texts[0].rpartition("=")[2]}
    assert texts[0] == problem.demonstrate()


def test_a_way_works_out_each_term_at_once() -> None:
    problem = Problem(SCENE, "net", GROUPS, (2, 3))
    first, at_once = (problem.demonstrate(way=way) for way in problem.ways)
    seen = "red circles=3, blue squares=2, green triangles=1"
    assert first == f"I see {seen}, 2*3=6, 3*2=6, 6+6=12, 12-1=11, so \\boxed{{11}}"
    steps = "red circles=3, 2*3=6, blue squares=2, 3*2=6, 6+6=12, green triangles=1, 12-1=11"
    assert at_once == f"I see {steps}, so \\boxed{{11}}"


def test_guesses_and_slips_leave_the_demonstrations_right_about_one_time_in_three() -> None:
    rng = random.Random(1)
    right = []
    for _ in range(3000):
        problem = drawn_problem(rng)
        right.append(problem.conclude(chain(rng, problem)[1]) == problem.answer)
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
