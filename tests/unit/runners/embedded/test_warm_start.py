"""A warm start that was stopped goes on to the same weights."""

import random
from pathlib import Path

import pytest
import torch

from eval.core.errors import UserError
from runners.embedded.base_model import build_model, build_processor
from runners.embedded.demonstrations import Example
from runners.embedded.warm_start import Unfinished, build_optimizers, curriculum, update


def test_weights_and_optimizers_come_back(tmp_path: Path) -> None:
    processor = build_processor()

    def steps(model: torch.nn.Module, optimizers: list[torch.optim.Optimizer], rows: list[list[Example]]) -> None:
        for some in rows:
            update(model, processor, some)  # type: ignore[arg-type]
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    rows = [some[:4] for some in curriculum(3, random.Random(0), clean=1.0)]
    model = build_model(0)
    optimizers = build_optimizers(model)
    kept = Unfinished(tmp_path / "base" / "unfinished.safetensors", "mine")
    assert kept.load(model, optimizers) == 0
    steps(model, optimizers, rows[:2])
    kept.save(model, optimizers, 2)
    steps(model, optimizers, rows[2:])
    again = build_model(1)
    others = build_optimizers(again)
    assert kept.load(again, others) == 2
    steps(again, others, rows[2:])
    for (name, p), (_, q) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(p, q), name
    with pytest.raises(UserError, match=r"is of another recipe \(mine\): delete it"):
        Unfinished(kept.path, "theirs").load(model, optimizers)
