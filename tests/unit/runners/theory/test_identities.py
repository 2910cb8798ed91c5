from dataclasses import replace

import pytest
import torch

from runners.theory.identities import TOLERANCE, Check, checks
from runners.theory.tabular import R, T, V, X, bayesian, drawn, told_words

CHECKS = {check.name: check for check in checks()}


@pytest.mark.parametrize("name", CHECKS)
def test_both_sides_are_equal_and_the_broken_variant_is_caught(name: str) -> None:
    check = CHECKS[name]
    assert check.left.shape == check.right.shape == check.broken.shape
    assert check.left.dtype == torch.float64
    assert check.apart <= 1e-10
    assert check.caught > 1e-3
    assert check.holds


def test_what_is_not_equal_does_not_hold() -> None:
    one = torch.ones(1).double()
    two = one + 2 * TOLERANCE
    assert not Check("", "", one, two, one + 1, "").holds
    assert not Check("", "", one, one, one, "").holds, "a broken variant that nobody notices"


def test_the_students_prefixes_are_a_distribution() -> None:
    for chance_XP in drawn().prefixes():
        assert torch.allclose(chance_XP.sum(1), torch.ones(X).double())


def test_the_bayesian_teacher_is_a_distribution_and_its_mean_the_student() -> None:
    model, posterior = bayesian()
    for t in range(T):
        chance_XRPV = model.teacher[t].exp()
        assert torch.allclose(chance_XRPV.sum(-1), torch.ones(X, R, V**t).double())
        mean_XPV = (posterior[t][..., None] * chance_XRPV).sum(1)
        assert torch.allclose(mean_XPV, model.student[t].softmax(-1))


def test_words_are_those_of_the_reply_that_the_number_says() -> None:
    model = drawn()
    student, teacher = told_words(model)
    at = (1 * R + 2) * V**T + 2 * 9 + 0 * 3 + 1  # prompt 1, reference 2, tokens 2 0 1
    assert student[at, 2] == model.student[2].log_softmax(-1)[1, 2 * 3 + 0, 1]
    assert teacher[at, 1] == model.teacher[1].log_softmax(-1)[1, 2, 2, 0]


def test_a_teacher_that_is_told_nothing_has_no_gap() -> None:
    """Theorem 1 with references that change nothing: the information is 0, both losses are one."""
    model = drawn()
    deaf = replace(model, teacher=tuple(t[:, :1].expand_as(t) for t in model.teacher))
    mean = [(model.reference_XR[..., None, None] * t.softmax(-1)).sum(1) for t in deaf.teacher]
    for t in range(T):
        assert torch.allclose(mean[t], deaf.teacher[t][:, 0].softmax(-1))
