"""The commands that a plan shows."""

from runners.launch.distributed import LAUNCH, shown_commands
from runners.run.config import resolve


def test_commands_name_launcher_and_settings() -> None:
    def shown(preset: str, *overrides: str) -> list[str]:
        return shown_commands(resolve(preset, "rlsd", 0, list(overrides)), preset, list(overrides))

    words = "cli.py train --preset paper --method rlsd --set params.clip=0.1"
    launch = "accelerate launch --config_file runners/launch/accelerate/fsdp2.yaml --num_processes 8"
    assert shown("paper", "params.clip=0.1")[1::2] == [f"python {words}", f"{launch} {words}"]
    assert (LAUNCH / "fsdp2.yaml").is_file() and (LAUNCH / "ddp.yaml").is_file()
    assert "accelerate/ddp.yaml" in shown("paper", "train.sharding=none")[3]
    assert shown("lora")[1:] == ["python cli.py train --preset lora --method rlsd"]
