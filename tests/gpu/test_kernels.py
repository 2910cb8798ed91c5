"""What a GPU computes for shared prompts."""

import pytest
import torch

from tests.gpu.kernels import ALLOWED, kernel_errors


@pytest.mark.gpu
@pytest.mark.parametrize("head_size", [64, 128])
@pytest.mark.parametrize("dtype", ALLOWED)
def test_kernels_are_softmax_over_repeated_keys(dtype: torch.dtype, head_size: int) -> None:
    errors = kernel_errors("cuda", dtype, head_size)
    assert errors.pop("fused"), "the kernel differed, and attention over repeated keys took its place"
    assert max(errors.values()) < ALLOWED[dtype]
