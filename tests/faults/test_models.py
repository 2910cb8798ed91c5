"""Model folders that cannot be loaded: one line from every command that would, before anything is made."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runners.run.model import BASE

Refused = Callable[..., str]
WEIGHTS = (BASE / "model.safetensors").read_bytes()
CONFIG: dict[str, Any] = json.loads((BASE / "config.json").read_text())


def _config(**changes: Any) -> bytes:
    return json.dumps({**CONFIG, **changes}).encode()


# Of each fault, the file that is other than the base's; None: it is missing.
FAULTS: dict[str, tuple[str, bytes | None]] = {
    "weights torn": ("model.safetensors", WEIGHTS[: len(WEIGHTS) // 2]),
    "weights longer": ("model.safetensors", WEIGHTS + b"x"),
    "weights empty": ("model.safetensors", b""),
    "weights text": ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    "weights header": ("model.safetensors", struct.pack("<Q", 1 << 60) + WEIGHTS[8:]),
    "weights header no json": ("model.safetensors", struct.pack("<Q", 4) + b"????"),
    "weights missing": ("model.safetensors", None),
    "config missing": ("config.json", None),
    "config list": ("config.json", b"[]"),
    "config torn": ("config.json", json.dumps(CONFIG).encode()[:100]),
    "config without type": ("config.json", json.dumps({k: v for k, v in CONFIG.items() if k != "model_type"}).encode()),
    "config deeper": ("config.json", _config(text_config={**CONFIG["text_config"], "num_hidden_layers": 9})),
    "config huge": ("config.json", _config(text_config={**CONFIG["text_config"], "num_hidden_layers": 10**9})),
    "config wider": ("config.json", _config(text_config={**CONFIG["text_config"], "hidden_size": 999})),
    "config vocabulary": ("config.json", _config(text_config={**CONFIG["text_config"], "vocab_size": 7})),
    "tokenizer torn": ("tokenizer.json", (BASE / "tokenizer.json").read_bytes()[:1000]),
    "tokenizer binary": ("tokenizer.json", bytes(range(256))),
    "processor missing": ("processor_config.json", None),
    "processor list": ("processor_config.json", b"[]"),
    "template missing": ("chat_template.jinja", None),
    "template empty": ("chat_template.jinja", b"\n"),
}
OF_CONFIG = [
    fault
    for fault in FAULTS
    if fault.startswith("config") and fault not in ("config deeper", "config wider", "config vocabulary")
]
COMMANDS = {
    "train": ("train", "--method", "grpo", "--set", "model.path={model}"),
    "eval": ("eval", "--model", "{model}", "--bench", "mmmu", "--out", "results"),
    "filter": ("data", "filter", "--model", "{model}", "--limit", "2", "--out", "kept.parquet"),
}


def _broken(folder: Path, name: str, content: bytes | None) -> Path:
    folder.mkdir()
    for file in BASE.iterdir():
        os.link(file, folder / file.name)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_folder(refused: Refused, tmp_path: Path, command: str, fault: str) -> None:
    model = _broken(tmp_path / "model", *FAULTS[fault])
    line = refused(*(word.replace("{model}", str(model)) for word in COMMANDS[command]))
    assert str(model) in line


@pytest.mark.parametrize("fault", OF_CONFIG)
def test_a_plan_needs_the_configuration(refused: Refused, tmp_path: Path, fault: str) -> None:
    model = _broken(tmp_path / "model", *FAULTS[fault])
    assert str(model) in refused("plan", "--method", "grpo", "--set", f"model.path={model}")


def test_pickles_are_not_loaded(refused: Refused, tmp_path: Path) -> None:
    model = _broken(tmp_path / "model", "model.safetensors", None)
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")
    assert "pickles" in refused("eval", "--model", str(model), "--bench", "mmmu")
