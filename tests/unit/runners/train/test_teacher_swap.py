"""How teacher and policy change places: to the last bit, also where it breaks off, and without touching training."""

from typing import Any

import pytest
import torch
from torch import Tensor

from runners.train.teacher import TeacherWeights
from tests.unit.runners.train.test_teacher import KINDS, Tiny, _move, _same


def _bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().view(torch.uint8).clone() for name, t in tensors.items()}


@pytest.mark.parametrize("on_host", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["initial", "snapshot", "ema"])
def test_a_hundred_scorings_change_no_bit(name: str, dtype: torch.dtype, on_host: bool) -> None:
    policy = Tiny().to(dtype)
    with torch.no_grad():  # what compares equal, or to nothing, and has bits of its own
        policy.a.weight[0, :3] = torch.tensor([-0.0, float("nan"), 1e-40])
    teacher = TeacherWeights(KINDS[name], policy, on_host)
    teacher.start()
    _move(policy, 1)
    with torch.no_grad():
        policy.b.bias[:2] = torch.tensor([-0.0, float("nan")])
    parameters = dict(policy.named_parameters())
    student, copied = _bits(parameters), _bits(teacher._copy)
    with teacher.active():
        first = _bits(parameters)
    for _ in range(100):
        with teacher.active():
            assert _same(_bits(parameters), first)
    assert _same(_bits(parameters), student)
    assert _same(_bits(teacher._copy), copied)
    rounded = {n: t.view(teacher._copy[n].dtype).to(dtype) for n, t in copied.items()}
    assert _same({n: first[n] for n in rounded}, _bits(rounded)), "what scored is the copy, in the policy's dtype"


class Full(RuntimeError):
    """Stands for a device without room for one more tensor."""


@pytest.mark.parametrize(("name", "on_host"), [("snapshot", True), ("ema", True), ("ema", False)])
def test_no_room_half_way_leaves_the_policy_as_it_was(
    name: str, on_host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Tiny().bfloat16()
    teacher = TeacherWeights(KINDS[name], policy, on_host)
    teacher.start()
    _move(policy, 1)
    student, copied = _bits(dict(policy.named_parameters())), _bits(teacher._copy)
    to, calls = Tensor.to, 0

    def full(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Full
        return to(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "to", full)
    with pytest.raises(Full), teacher.active():
        raise AssertionError("nothing may be scored with half of a teacher")
    assert calls > 2
    assert _same(_bits(dict(policy.named_parameters())), student)
    assert _same(_bits(teacher._copy), copied)


@pytest.mark.parametrize("on_host", [False, True])
def test_training_is_the_same_whether_or_not_a_teacher_scores_in_between(on_host: bool) -> None:
    torch.manual_seed(3)
    x_BD = torch.randn(6, 4)
    ends = []
    for scored in (False, True):
        policy = Tiny()
        teacher = TeacherWeights(KINDS["snapshot"], policy, on_host)
        teacher.start()
        optimizer = torch.optim.AdamW((p for p in policy.parameters() if p.requires_grad), lr=0.01)
        for update in range(1, 6):
            for half_BD in x_BD.split(3):  # the teacher also scores while gradients are held
                if scored:
                    with teacher.active(), torch.no_grad():
                        policy(half_BD)
                policy(half_BD).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            teacher.after_update(update)
        ends.append(_bits(dict(policy.named_parameters())))
    assert _same(*ends)
