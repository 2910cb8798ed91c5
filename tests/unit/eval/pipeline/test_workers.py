"""Each worker's share of the machine."""

import pytest
import torch

from eval.core.errors import UserError
from eval.pipeline.workers import gpu_groups
from eval.settings import EvalSettings


def _gpus(monkeypatch: pytest.MonkeyPatch, count: int, visible: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


def test_each_worker_gets_its_group_of_the_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.pipeline.workers.vllm_version", lambda: "0")
    pairs = EvalSettings(engine="vllm", data_parallel=2, tensor_parallel=2)
    _gpus(monkeypatch, 4, "7,5,3,1")
    assert gpu_groups(pairs) == ["7,5", "3,1"]
    _gpus(monkeypatch, 8, None)
    assert gpu_groups(pairs) == ["0,1", "2,3"]
    _gpus(monkeypatch, 3, None)
    with pytest.raises(UserError, match=r"data_parallel 2 x eval\.tensor_parallel 2 needs 4 GPUs and 3 are visible"):
        gpu_groups(pairs)
    with pytest.raises(UserError, match="cuda:1 is one GPU"):
        gpu_groups(EvalSettings(data_parallel=2, device="cuda:1"))
    assert gpu_groups(EvalSettings(data_parallel=2, device="cpu")) == [None, None]
    _gpus(monkeypatch, 0, None)
    assert gpu_groups(pairs) == [None, None]
