import math

import pytest
import torch

from runners.theory.identities import gap


def test_two_references_that_decide_a_token_are_worth_a_bit() -> None:
    """One token is certain under each of two equally likely references: I = log 2, and the best student pays it all."""
    sure = 50.0
    teachers_RTV = torch.tensor([[[sure, 0.0]], [[0.0, sure]]])
    found = gap(torch.zeros(1, 2), teachers_RTV, [0.5, 0.5])
    assert found.information.item() == pytest.approx(math.log(2))
    assert found.marginal.item() == pytest.approx(0, abs=1e-12)
    assert found.opsd.item() == pytest.approx(math.log(2))


def test_unequal_chances_weigh() -> None:
    """The information is the entropy of the reference where the reference decides the token."""
    teachers_RTV = torch.tensor([[[80.0, 0.0]], [[0.0, 80.0]]])
    found = gap(torch.zeros(1, 2), teachers_RTV, [0.9, 0.1])
    assert found.information.item() == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))


def test_theorem_1_holds_on_any_logits() -> None:
    random = torch.Generator().manual_seed(0)
    student_TV, teachers_RTV = torch.randn(5, 7, generator=random), torch.randn(3, 5, 7, generator=random)
    found = gap(student_TV, teachers_RTV, [0.2, 0.3, 0.5])
    torch.testing.assert_close(found.opsd, found.marginal + found.information, rtol=0, atol=1e-12)
    assert (found.information > 0).all()


def test_one_reference_leaves_no_gap() -> None:
    random = torch.Generator().manual_seed(1)
    found = gap(torch.randn(4, 7, generator=random), torch.randn(1, 4, 7, generator=random), [1.0])
    torch.testing.assert_close(found.information, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.opsd, found.marginal)
