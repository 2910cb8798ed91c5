"""Controls: each differs from its method in the one place that it is named after."""

from collections.abc import Mapping

import pytest
import torch

from methods import METHODS, Rollouts, Task
from methods.controls import CONTROLS, another, wrong
from methods.rlsd import RLSD
from methods.words import context

STUDENT_BT = torch.log(torch.tensor([[0.5, 0.2, 0.4, 0.3], [0.5, 0.2, 0.4, 0.3]], dtype=torch.float64))
TEACHER_BT = torch.log(torch.tensor([[0.55, 0.1, 0.4, 0.3], [0.55, 0.1, 0.4, 0.3]], dtype=torch.float64))
MASK_BT = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
TASK = Task("7", "3 + 4 = 7")


def rollouts(teacher: Mapping[str, torch.Tensor]) -> Rollouts:
    advantages_B = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return Rollouts(1, advantages_B, advantages_B, MASK_BT, STUDENT_BT, teacher)


def weights(name: str) -> torch.Tensor:
    kind = RLSD if name == "rlsd" else CONTROLS[name]
    found = kind(mix=1.0, decay=10**9).credit(rollouts({"answer": TEACHER_BT}))  # type: ignore[call-arg]
    assert found.weights_BT is not None
    torch.testing.assert_close(found.advantages, torch.tensor([[1.0], [-1.0]]) * found.weights_BT * MASK_BT)
    return found.weights_BT


PUSHED_UP = [1.1, 0.8, 1.0, 1.0]  # P_T / P_S = 1.1, .5, 1, 1, cut at .8 and 1.2
PUSHED_DOWN = [1 / 1.1, 1.2, 1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "up", "down"),
    [
        ("rlsd", PUSHED_UP, PUSHED_DOWN),
        ("rlsd_flipped", PUSHED_DOWN, PUSHED_UP),
        ("rlsd_negative", [1.0] * 4, PUSHED_DOWN),
        ("rlsd_positive", PUSHED_UP, [1.0] * 4),
    ],
)
def test_weights_by_hand(name: str, up: list[float], down: list[float]) -> None:
    found_BT = weights(name)
    torch.testing.assert_close(found_BT[0], torch.tensor(up, dtype=torch.float64))
    torch.testing.assert_close(found_BT[1, :3], torch.tensor(down[:3], dtype=torch.float64))


def test_permuted_weights_are_the_same_ones_elsewhere_and_the_same_for_a_step() -> None:
    plain_BT, permuted_BT = weights("rlsd"), weights("rlsd_permuted")
    for row, length in ((0, 4), (1, 3)):
        assert sorted(permuted_BT[row, :length].tolist()) == sorted(plain_BT[row, :length].tolist())
    assert not torch.equal(plain_BT, permuted_BT)
    assert torch.equal(permuted_BT, weights("rlsd_permuted"))
    assert not CONTROLS["rlsd_permuted"]().credit_by_row


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rlsd_wrong", context("answer", "8")),
        ("rlsd_another", context("answer", another(TASK))),
        ("rlsd_blank", context("answer", "?")),
        ("rlsd_solution", context("solution", "3 + 4 = 7")),
        ("opsd_wrong", context("answer", "8")),
    ],
)
def test_what_they_are_told(name: str, expected: object) -> None:
    (told,) = CONTROLS[name]().contexts(TASK, [], 0).values()
    assert told == expected


def test_references_that_are_wrong_keep_their_form() -> None:
    assert [wrong(answer) for answer in ("7", "0.5", "A", "D", "x+1")] == ["8", "1.5", "B", "A", "not x+1"]
    # Two letters are no letter, and what cannot be counted on is no number; a large one is another after all.
    odd = {"BC": "not BC", "": "not ", "E": "A", "nan": "not nan", "inf": "not inf", "1234560": "1234561", "-1": "0"}
    odd |= {"1e17": "not 1e17"}
    assert {answer: wrong(answer) for answer in odd} == odd
    assert another(Task("BC")).isdigit()
    assert another(Task("E")) in "ABCD"
    assert another(TASK) != "7" and another(TASK).isdigit()
    assert another(Task("B")) in "ACD"
    assert len({another(Task("7", f"way {i}")) for i in range(50)}) > 10


def test_a_control_is_no_method_of_the_registry() -> None:
    assert not METHODS.keys() & CONTROLS.keys()
    assert all(kind.name == name and kind.label for name, kind in CONTROLS.items())
