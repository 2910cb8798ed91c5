"""What vLLM's log-probabilities weigh, on values worked out by hand."""

import pytest
import torch

from runners.rollout.correction import sampling_ratio

NAN = float("nan")


@pytest.mark.parametrize(
    ("mode", "low", "high", "expected"),
    [
        ("token_truncate", None, 3.0, [[2.0, 3.0, 1.0], [0.25, 1.0, 2.0]]),
        ("token_truncate", 0.5, None, [[2.0, 4.0, 1.0], [0.5, 1.0, 2.0]]),
        ("token_mask", 0.5, 3.0, [[2.0, 0.0, 1.0], [0.0, 1.0, 2.0]]),
        ("sequence_truncate", None, 3.0, [[3.0], [0.5]]),
        ("sequence_mask", None, 3.0, [[0.0], [0.5]]),
        ("sequence_mask", 0.6, None, [[8.0], [0.0]]),
    ],
)
def test_ratios_of_tokens_and_of_sequences(
    mode: str, low: float | None, high: float | None, expected: list[list[float]]
) -> None:
    """Ratios 2, 4 and padding; 1/4, one that vLLM could not give, 2."""
    sampling_BT = torch.tensor([[-1.0, -2.0, 0.0], [-3.0, NAN, -1.0]])
    ratio_BT = torch.tensor([[2.0, 4.0, 100.0], [0.25, 1.0, 2.0]])
    policy_BT = sampling_BT.nan_to_num(nan=-7.0) + ratio_BT.log()
    mask_BT = torch.tensor([[1, 1, 0], [1, 1, 1]])
    got = sampling_ratio(policy_BT, sampling_BT, mask_BT, mode, low, high)
    torch.testing.assert_close(got, torch.tensor(expected))
