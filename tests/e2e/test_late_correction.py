"""The correction for vLLM's own log-probabilities, formed in the update: as stock TRL forms it in a pass before."""

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from trl import GRPOTrainer

from eval.engines.requests import vision_ids
from runners.run.model import load
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.train import run as train
from runners.train.run import build_trainer
from runners.train.trl_config import trl_config
from tests.support.helpers import History, lottery, small
from tests.support.training import training_rows

SIZE = ("train.steps=2", "train.micro_batch=8", "train.vllm_max_difference=9", "train.temperature=1.4")
THEIRS, OURS = "sampling/sampling_logp_difference/mean", "bench/sampling_difference"


def _as_vllm(trainer: Any, mode: str) -> None:
    """Samples as before, with log-probabilities as another engine might give them: some far off, one missing."""
    sample = trainer._generate_single_turn

    def told(*args: Any, **kwargs: Any) -> tuple[list[list[int]], list[list[float | None]]]:
        trainer.use_vllm = False
        ids, _ = sample(*args, **kwargs)
        trainer.use_vllm = True
        # A sequence of probability about .6, and single tokens of .05 to 1.
        far = [[crc32(f"{i}-{t}".encode()) % 60 == 0 for t in range(len(row))] for i, row in enumerate(ids)]
        return ids, [[None, *(-3.0 if off else -0.02 for off in row[1:])] for row in far]

    trainer._generate_single_turn = told
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
    trainer.vllm_importance_sampling_mode = trainer.args.vllm_importance_sampling_mode = mode


@pytest.fixture(autouse=True)
def _as_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lottery: 1.0})
    monkeypatch.setattr("trl.trainer.grpo_trainer.shuffle_sequence_dict", lambda batch: batch)


def _ours(folder: Path, method: str, mode: str, *more: str) -> list[dict[str, Any]]:
    settings, run, history = small(method, *SIZE, *more), RunDir(folder), History()
    built = build_method(method, settings.params)
    run.open(settings, built.label, "test", "embedded")
    trainer = build_trainer(settings, built, run, [history])
    _as_vllm(trainer, mode)
    trainer.args.save_strategy = "no"
    trainer.train()
    return history.rows


@pytest.mark.parametrize("mode", ["token_truncate", "sequence_mask"])
def test_it_is_stock_trl_s(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small("grpo", *SIZE)
    model, processor = load(settings.model)
    stock = History()
    theirs = GRPOTrainer(
        model=model,
        processing_class=processor,
        args=trl_config(settings, RunDir(tmp_path / "stock"), vision_ids(model.config)),
        reward_funcs=lottery,
        train_dataset=training_rows(settings),
        callbacks=[stock],
    )
    _as_vllm(theirs, mode)
    theirs.train()
    monkeypatch.setattr("runners.train.trainer.token_log_probs", lambda *_: pytest.fail("a pass of its own"))
    ours = _ours(tmp_path / "ours", "grpo", mode)
    assert len(ours) == len(stock.rows) == 2
    assert any(row["grad_norm"] > 0 for row in ours)
    for row, expected in zip(ours, stock.rows, strict=True):
        assert row["reward"] == expected["reward"]
        assert row["loss"] == pytest.approx(expected["loss"], abs=1e-6)
        assert row["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
        # Ours counts a token of which vLLM said nothing as no distance, TRL's leaves it out.
        assert row[OURS] == pytest.approx(expected[THEIRS], rel=0.1)
    assert not all(row["frac_reward_zero_std"] for row in stock.rows)


def test_a_method_whose_credit_waits_for_the_update_is_corrected_too(tmp_path: Path) -> None:
    """Its weights are those of a run that nothing was wrong with; its loss is not."""
    corrected, plain = (
        _ours(tmp_path / mode, "rlsd", mode, "train.steps=1") for mode in ("token_truncate", "sequence_mask")
    )
    for name in ("bench/weight_mean", "bench/gap", "reward"):
        assert corrected[0][name] == plain[0][name]
    assert corrected[0]["loss"] != plain[0]["loss"]
