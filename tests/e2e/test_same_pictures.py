"""A model that learnt nothing is evaluated as its base is: nothing of the training's pictures stays in a checkpoint."""

import json
from pathlib import Path

import pytest

from eval.pipeline.results import read_samples
from runners.launch.evaluate import evaluate_run
from runners.launch.sweep import base_row
from runners.run.run_dir import RunDir
from runners.train.run import train
from tests.support.helpers import small
from tests.support.paths import SHARED

REAL = SHARED / "bench-data" / "mathvista" / "images" / "questions.jsonl"
ASKED = ("eval.benches=[mathvista]", "eval.limit=6", "eval.temperature=0", "eval.presence_penalty=0")
LORA = "{rank: 2, alpha: 4}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "lora"),
    [("mini", "null"), ("mini", LORA), (str(REAL), LORA)],
    ids=["mini, full", "mini, lora", "real, lora"],
)
def test_base_and_a_run_that_learnt_nothing_reply_alike(tmp_path: Path, data: str, lora: str) -> None:
    if data != "mini" and not REAL.exists():
        pytest.skip("needs ../shared/bench-data")
    nothing = ("train.steps=1", "train.checkpoint_every=1", "train.learning_rate=0", "model.max_pixels=1024")
    settings = small("grpo", *nothing, f"model.lora={lora}", *ASKED, f"eval.data={data}", "eval.max_new_tokens=24")
    base = base_row(settings, "suite", tmp_path).run
    run = RunDir(tmp_path / "suite" / "grpo" / "seed0")
    assert train(settings, run, "suite")
    results = [evaluate_run(one, settings.eval) / "mathvista" for one in (base, run)]
    ours, theirs = (read_samples(folder) for folder in results)
    assert [s["reply"] for s in ours] == [s["reply"] for s in theirs]
    used = [json.loads((folder / "result.json").read_text())["generation"]["processor"] for folder in results]
    assert used[0] == used[1]
    assert used[0]["longest_edge"] == 4096, "the base's own, not the 1024 pixels of training"
