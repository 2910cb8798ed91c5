"""Training with rollouts that depend on the step and the rollout's number alone, on any number of processes."""

import random
from pathlib import Path
from typing import Any

import torch

from eval.engines.requests import vision_ids
from runners.run.config import resolve
from runners.run.open import open_run
from runners.run.registry import complete
from runners.run.run_dir import RunDir
from runners.run.world import rank
from runners.train import run as train
from runners.train.run import build_trainer
from tests.support.helpers import History, lottery


def written(step: int, rollout: int, vocabulary: int, banned: frozenset[int], end: int) -> list[int]:
    """Tokens that no model wrote: 3 to 20 of them, most with an end."""
    rng = random.Random(f"{step}-{rollout}")
    ids = [i for i in (rng.randrange(7, vocabulary) for _ in range(rng.randint(3, 19))) if i not in banned]
    return ids + [end] * (rng.random() < 0.8)


def trajectories(methods: list[str], folder: Path, overrides: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What each step of each method logged."""
    torch.set_num_threads(1)
    train.REWARDS["accuracy"] = {lottery: 1.0}
    return {method: _trajectory(method, folder / method, overrides) for method in methods}


def _trajectory(method: str, folder: Path, overrides: list[str]) -> list[dict[str, Any]]:
    settings, run = resolve("cpu", method, 0, overrides), RunDir(folder)
    if rank() == 0:
        open_run(settings, run, "test")
    settings, built = complete(settings)
    history = History()
    trainer = build_trainer(settings, built, run, [history])

    def stub(prompt_ids: Any, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        first = trainer.accelerator.process_index * len(prompt_ids)
        numbers = range(first, first + len(prompt_ids))
        size, banned = trainer.model.config.text_config.vocab_size, frozenset(vision_ids(trainer.model.config))
        end = trainer.processing_class.tokenizer.eos_token_id
        return [written(trainer.state.global_step, n, size, banned, end) for n in numbers], None

    trainer._generate_single_turn = stub
    if settings.train.shards == 1:  # which no other test saves
        trainer.args.save_strategy = "no"
    trainer.train()
    return history.rows
