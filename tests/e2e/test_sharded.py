"""The same training on one process, and on two that accelerate has given a shard each."""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.fsdp import FSDPModule

from runners import train, two_phase
from runners.processes import launch_file
from tests.e2e.fixed_rollouts import trajectories
from tests.e2e.helpers import small
from tests.e2e.test_processes import WHOLE, assert_same
from tests.e2e.warm import context

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
    """Keep which modules are shards where `two_phase` calls its own function of that name."""
    whole: Callable[..., Any] = getattr(two_phase, name)

    def counting(model: Any, *args: Any) -> Any:
        seen.append([own for own, module in model.named_modules() if isinstance(module, FSDPModule)])
        return whole(model, *args)

    setattr(two_phase, name, counting)


def _one_of_two(rank: int, port: int, folder: Path) -> None:
    with (folder / f"stderr{rank}").open("wb") as said:
        os.dup2(said.fileno(), sys.stderr.fileno())
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    _as_launched()
    prompts, parts = list[Any](), list[Any]()
    _counted("_forward", prompts)
    _counted("_completions", parts)
    history = trajectories([METHOD], folder, [*ONCE, "train.micro_batch=2", "train.processes=2"])[METHOD]
    (folder / f"found{rank}.json").write_text(json.dumps([history, prompts, parts]))


@pytest.mark.slow
def test_shards_train_as_one_process_does(tmp_path: Path) -> None:
    """And a group that comes in halves has its prompt forwarded once in the update, and once in the check before."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    processes = [context.Process(target=_one_of_two, args=(rank, port, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    accuracy = train.REWARDS["accuracy"]
    expected = trajectories([METHOD], tmp_path / "one", [*ONCE, "train.micro_batch=8"])[METHOD]
    train.REWARDS["accuracy"] = accuracy
    for process in processes:
        process.join()
    said = "".join((tmp_path / f"stderr{rank}").read_text() for rank in range(2))
    assert [process.exitcode for process in processes] == [0, 0], said[-3000:]
    assert "shared prefix:" not in said, "a layout that differs would be rows in disguise"
    found = [json.loads((tmp_path / f"found{rank}.json").read_text()) for rank in range(2)]
    for _, prompts, parts in found:
        assert (len(prompts), len(parts)) == (1 + 1, 1 + 2)
        assert {"", "model.visual.blocks.0", "model.language_model.layers.0"} <= set(prompts[0])
    assert_same(found[0][0], expected)
