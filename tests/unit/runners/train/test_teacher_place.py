"""Where a teacher's copy is kept: on the GPU, or in host memory."""

import pytest
from torch import nn

from methods import Teacher
from runners.train.teacher import TeacherWeights, fits_beside

GIB = 1 << 30
SHARD = 8_767_123_696 * 4 // 8  # bytes of Qwen3-VL-8B in float32, of one of eight GPUs


@pytest.mark.parametrize(
    ("gpu", "trained", "copy", "fits"),
    [
        (140, SHARD, SHARD, True),
        (80, SHARD, SHARD, False),  # 35.5 GiB would be left to activations, and half are 40
        (65, SHARD, SHARD, False),
        (80, GIB // 2, GIB // 2, True),  # adapters
        (140, 4 * SHARD, 8 * SHARD, False),  # the whole of it in bfloat16, and an average
    ],
)
def test_a_copy_stays_where_half_of_the_gpu_is_left(gpu: int, trained: int, copy: int, fits: bool) -> None:
    taken_before = 0.3 * gpu * GIB + 4 * GIB + trained  # vLLM's share, what CUDA takes, the weights
    assert fits_beside(trained, copy, int(gpu * GIB - taken_before), gpu * GIB) == fits


def test_the_rule_by_hand() -> None:
    """Gradients and two averages of 10 each, a copy of 5, and half of 100."""
    assert fits_beside(10, 5, 85, 100) and not fits_beside(10, 5, 84, 100)


def test_without_a_gpu_the_copy_is_where_the_policy_is() -> None:
    policy = nn.Linear(2, 2)
    teacher = TeacherWeights(Teacher("snapshot", every=1), policy)
    teacher.start()
    own = policy.weight.data_ptr()
    with teacher.active():
        assert policy.weight.data_ptr() != own, "lent, not exchanged by value as with a copy in host memory"
    assert policy.weight.data_ptr() == own
