"""The command that starts a run's processes."""

import pytest
import yaml

from runners.launch.distributed import ROOT, launch_command, launch_file
from runners.run.config import resolve

WORDS = ["train", "--method", "rlsd"]


@pytest.mark.parametrize(("sharding", "kind"), [("none", "MULTI_GPU"), ("fsdp2", "FSDP")])
def test_accelerate_with_gpus(sharding: str, kind: str) -> None:
    settings = resolve("cpu", "rlsd", 0, ["train.processes=2", f"train.sharding={sharding}"])
    assert yaml.safe_load(launch_file(settings).read_text())["distributed_type"] == kind
    module, *words = launch_command(settings, WORDS)
    assert module == "accelerate.commands.launch"
    assert words[:4] == ["--config_file", str(launch_file(settings)), "--num_processes", "2"]
    assert words[-4:] == [str(ROOT / "cli.py"), *WORDS]
