"""The line that ends a run."""

import math

import pytest
import torch

from runners.run.finite import NotFinite, require_finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_it_names_step_phase_what_and_which(bad: float) -> None:
    value_BT = torch.zeros(3, 4)
    require_finite(2, "credit", "advantages", value_BT, range(5, 8))
    value_BT[2, 1] = value_BT[0, 3] = bad
    with pytest.raises(NotFinite, match=r"^step 2, credit: advantages not finite \(rollouts 5, 7\); the last whole"):
        require_finite(2, "credit", "advantages", value_BT, range(5, 8))
    with pytest.raises(NotFinite, match=r"^step 2, credit: advantages not finite \(rollout 7\); "):
        require_finite(2, "credit", "advantages", value_BT[2:], [7])
    for number in (bad, torch.tensor(bad)):  # of no rollout
        with pytest.raises(NotFinite, match=r"^step 9, update: loss not finite; "):
            require_finite(9, "update", "loss", number)


def test_it_stays_one_short_line() -> None:
    with pytest.raises(NotFinite, match=r"\(rollouts 0, 1, 2, 3, 4, 5, 6, 7, …\); ") as refused:
        require_finite(1, "rollouts", "logits", torch.full((4000,), math.nan), range(4000))
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


def test_large_and_whole_numbers_are_finite() -> None:
    require_finite(1, "update", "loss", torch.tensor(3e38))
    require_finite(1, "update", "gradient norm", 7)
