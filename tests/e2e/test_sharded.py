"""The same training on one process, and on two that accelerate has given a shard each."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.fsdp import FSDPModule

from runners.forward import split_group
from runners.launch.distributed import launch_file
from runners.train import run as train
from tests.e2e.test_processes import WHOLE, assert_same
from tests.support import warm
from tests.support.fixed_rollouts import trajectories
from tests.support.helpers import small

METHOD = "rlsd"
ONCE = (*WHOLE, "train.steps=1")


def _as_launched() -> None:
    """What `accelerate launch` makes of the launch file. Accelerate shards on GPUs alone: it is told that these are."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    told = yaml.safe_load(launch_file(small(METHOD, "train.sharding=fsdp2", "train.processes=2")).read_text())
    os.environ |= {"ACCELERATE_USE_FSDP": "true"} | {k.upper(): str(v) for k, v in told["fsdp_config"].items()}
    begin = PartialState.__init__

    def as_on_gpus(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = as_on_gpus


def _counted(name: str, seen: list[Any]) -> None:
    """Keep which modules are shards where `split_group` calls its own function of that name."""
    whole: Callable[..., Any] = getattr(split_group, name)

    def counting(model: Any, *args: Any) -> Any:
        seen.append([own for own, module in model.named_modules() if isinstance(module, FSDPModule)])
        return whole(model, *args)

    setattr(split_group, name, counting)


def _one_of_two(rank: int, folder: Path, dtype: str) -> None:
    _as_launched()
    prompts, parts = list[Any](), list[Any]()
    _counted("_forward", prompts)
    _counted("_completions", parts)
    sizes = ["train.micro_batch=2", "train.processes=2", "train.sharding=fsdp2", f"model.dtype={dtype}"]
    history = trajectories([METHOD], folder, [*ONCE, *sizes])[METHOD]
    (folder / f"found{rank}.json").write_text(json.dumps([history, prompts, parts]))


def _trained(folder: Path, dtype: str) -> list[Any]:
    """What each of two processes has to say of the same training."""
    warm.launched(_one_of_two, folder, dtype)
    return [json.loads((folder / f"found{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of one process, in float32."""
    accuracy = train.REWARDS["accuracy"]
    yield trajectories([METHOD], tmp_path_factory.mktemp("one"), [*ONCE, "train.micro_batch=8"])[METHOD]
    train.REWARDS["accuracy"] = accuracy


@pytest.mark.slow
def test_shards_train_as_one_process_does(tmp_path: Path, expected: Any) -> None:
    """And a group that comes in halves has its prompt forwarded once in the update, and once in the check before."""
    found = _trained(tmp_path, "float32")
    for _, prompts, parts in found:
        assert (len(prompts), len(parts)) == (1 + 1, 1 + 2)
        assert {"", "model.visual.blocks.0", "model.language_model.layers.0"} <= set(prompts[0])
    assert_same(found[0][0], expected)


@pytest.mark.slow
def test_shards_that_compute_in_bfloat16_train_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one process that rounds alike; log-probabilities and what the processes add up are float32."""
    monkeypatch.setitem(train.REWARDS, "accuracy", train.REWARDS["accuracy"])  # which `trajectories` replaces
    rounded = [*ONCE, "train.micro_batch=8", "model.dtype=bfloat16"]
    alone = trajectories([METHOD], tmp_path / "alone", rounded)[METHOD]
    history = _trained(tmp_path, "bfloat16")[0][0]
    for got, right in zip(history, alone, strict=True):
        assert got["grad_norm"] == pytest.approx(right["grad_norm"], rel=0.05)
        assert got["loss"] == pytest.approx(right["loss"], abs=0.02)
