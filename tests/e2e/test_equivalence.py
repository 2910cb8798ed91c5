"""The harness changes nothing where it should not: against stock TRL, and against itself."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trl import GRPOTrainer

from eval.engines.requests import vision_ids
from methods import SELF_CONTAINED, Context, Credit, Method, Rollouts, Sibling, Task, Teacher
from methods.words import context
from runners.data import rows as data
from runners.run.model import load
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.train import run as train
from runners.train.trl_config import trl_config
from tests.support.helpers import History, history_of, lottery, small
from tests.support.training import training_rows

FIGURES = ("loss", "grad_norm", "reward", "bench/entropy", "frac_reward_zero_std")


@pytest.fixture(autouse=True)
def _lively_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.REWARDS, "accuracy", {lottery: 1.0})


def uneven(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
    """Another lottery, by which no step has one reward throughout, and a step has a group that has."""
    return lottery([[{"content": "a" + completion[-1]["content"]}] for completion in completions])


def _figures(rows: list[dict[str, float]]) -> list[tuple[float, ...]]:
    return [tuple(row.get(name, row["entropy"]) for name in FIGURES) for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """Two steps of a method: what each logged. A run is made once, for all tests that look at it."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}

    def run(*asked: str) -> list[dict[str, Any]]:
        if asked not in found:
            found[asked] = history_of(tmp_path_factory.mktemp("run"), small(*asked, "train.steps=2"))
        return found[asked]

    return run


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float, ...]]:
    """TRL's own trainer, but for its shuffling of rows between micro-batches of one update, which ours leaves out: it
    would draw from the stream that samples."""
    settings = small("grpo")
    model, processor = load(settings.model)
    history = History()
    trainer = GRPOTrainer(
        model=model,
        processing_class=processor,
        args=trl_config(settings, RunDir(tmp_path_factory.mktemp("stock")), vision_ids(model.config)),
        reward_funcs=uneven,
        train_dataset=training_rows(settings),
        callbacks=[history],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trl.trainer.grpo_trainer.shuffle_sequence_dict", lambda batch: batch)
        trainer.train()
    return _figures(history.rows)


@pytest.mark.parametrize("shared", ["true", "false"])
def test_grpo_equals_stock_trl(
    tmp_path: Path, shared: str, stock: list[tuple[float, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding."""
    monkeypatch.setitem(train.REWARDS, "accuracy", {uneven: 1.0})
    assert len(stock) == 3
    assert all(row[1] > 0 for row in stock), "no reward differed: the comparison would hold for any trainer"
    ours = _figures(history_of(tmp_path / "grpo", small("grpo", f"train.shared_prefix={shared}")))
    assert any(row[-1] == 0 for row in stock)
    for (loss, norm, reward, entropy, dead), theirs in zip(ours, stock, strict=True):
        assert dead == theirs[4]
        assert loss == pytest.approx(theirs[0], abs=1e-6)
        assert norm == pytest.approx(theirs[1], rel=1e-5)
        assert reward == theirs[2]
        assert entropy == pytest.approx(theirs[3], abs=1e-5), "of all tokens, though ours forwards no dead group"


@pytest.mark.parametrize("name", SELF_CONTAINED)
def test_no_figure_hangs_on_the_micro_batch(tmp_path: Path, name: str, trained: Callable[..., Any]) -> None:
    """Rows of several lengths, with and without a gradient, whichever of them are forwarded together: 8, 4 or one."""
    (whole,), (single,) = (
        history_of(tmp_path / size, small(name, "train.steps=1", f"train.micro_batch={size}")) for size in ("8", "1")
    )
    parts = trained(name)[0]
    measured = {key for key in whole if key.startswith("bench/")}
    assert {"bench/entropy"} < measured
    for row in (parts, single):
        assert {key: row[key] for key in measured} == pytest.approx({key: whole[key] for key in measured}, abs=1e-5)


def test_rlsd_without_mix_is_grpo_to_the_last_bit(trained: Callable[..., Any]) -> None:
    grpo = _figures(trained("grpo"))
    assert _figures(trained("rlsd", "params.mix=0.0")) == grpo
    assert _figures(trained("rlsd")) != grpo


@pytest.mark.parametrize("name", SELF_CONTAINED)
def test_both_layouts_train_alike(name: str, trained: Callable[..., Any]) -> None:
    """Ragged completions, groups torn by no micro-batch, groups without a gradient left out in both."""
    assert small(name).train.shared_prefix
    together, alone = trained(name), trained(name, "train.shared_prefix=false")
    for ours, theirs in zip(together, alone, strict=True):
        assert ours["reward"] == theirs["reward"]
        assert ours.keys() == theirs.keys()
        for figure in {"loss", "grad_norm", "bench/gap", "bench/divergence", "bench/clip_rate"} & ours.keys():
            assert ours[figure] == pytest.approx(theirs[figure], rel=1e-4, abs=1e-6), figure


@dataclass(frozen=True)
class Told(Method):
    """Scores with a snapshot that is never renewed; told nothing, or the answer."""

    name = "told"
    label = "Told"
    answer: bool = False
    every: int = 100

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        return {"told": Teacher("snapshot", every=self.every)}

    @property
    def credit_uses_teacher(self) -> bool:
        return True

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"told": context("answer", task.answer)} if self.answer else {}

    def credit(self, rollouts: Rollouts) -> Credit:
        assert rollouts.student_BT is not None
        delta_BT = (rollouts.teacher["told"] - rollouts.student_BT) * rollouts.mask_BT
        return Credit(rollouts.advantages_B, {"delta_max": delta_BT.abs().max().item()})


@pytest.fixture
def pictures_of_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = data._drawn

    def mixed(source: str, seed: int) -> Iterator[data.Row]:
        for i, row in enumerate(drawn(source, seed)):
            small_one = [row["images"][0].resize((48, 32), Image.Resampling.BILINEAR)]
            yield row if i % 2 else row | {"images": small_one, "sizes": [(48, 32)]}

    monkeypatch.setattr(data, "_drawn", mixed)


@pytest.mark.usefixtures("pictures_of_two_sizes")
def test_a_teacher_told_nothing_is_the_student_exactly(tmp_path: Path) -> None:
    rows = history_of(tmp_path / "untold", small("grpo", "train.steps=2"), Told())
    assert rows[0]["bench/delta_max"] == 0
    assert rows[1]["bench/delta_max"] > 0, "the policy moved and the snapshot did not"
    synced = history_of(tmp_path / "synced", small("grpo", "train.steps=2"), Told(every=1))
    assert [row["bench/delta_max"] for row in synced] == [0, 0]
    told = history_of(tmp_path / "told", small("grpo", "train.steps=1"), Told(answer=True))
    assert told[0]["bench/delta_max"] > 0


@pytest.mark.parametrize("name", SELF_CONTAINED)
def test_every_method_trains_and_moves_the_weights(name: str, trained: Callable[..., Any]) -> None:
    rows = trained(name)
    assert len(rows) == 2
    names = {key.removeprefix("bench/") for key in rows[0]}
    assert {"reward", "entropy", "completions/mean_length", "leakage"} <= names
    if build_method(name, {}).teachers:
        assert "gap" in names
    assert any(row["grad_norm"] > 0 for row in rows)


def test_gamma_of_the_hybrid_spans_grpo_and_opsd(trained: Callable[..., Any]) -> None:
    for gamma, pure in ((0.0, "grpo"), (1.0, "opsd")):
        for a, b in zip(trained("grpo_opsd", f"params.gamma={gamma}"), trained(pure), strict=True):
            assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
            assert a["reward"] == b["reward"]


def test_rows_with_and_without_pictures_train_together_in_both_layouts(tmp_path: Path) -> None:
    lines = [
        {"question": "How many dots?", "answer": "3", "images": ["a.png"]},
        {"question": "What is 1 + 1?", "answer": "2", "images": None},
        {"question": "<image> or <image>?", "answer": "a", "images": ["grey.png", "clear.png"]},
        {"question": "What is 1 + 2?", "answer": "3", "images": []},
    ]
    for name, mode in (("a", "RGB"), ("grey", "L"), ("clear", "RGBA")):
        Image.new(mode, (48, 32), 7 if mode == "L" else "red").save(tmp_path / f"{name}.png")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mixed = ("train.steps=2", f"data.source={tmp_path / 'rows.jsonl'}")
    together, alone = (
        _figures(history_of(tmp_path / shared, small("rlsd", f"train.shared_prefix={shared}", *mixed)))
        for shared in ("true", "false")
    )
    assert any(row[1] > 0 for row in together)
    for ours, single in zip(together, alone, strict=True):
        assert ours == pytest.approx(single, rel=1e-4, abs=1e-5)
