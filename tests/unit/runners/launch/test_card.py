"""A model card says what its run's files say."""

import json

import yaml

from runners.launch.card import card, write_card
from runners.run.config import resolve
from runners.run.run_dir import RunDir


def test_a_card_is_true(tmp_path):
    run = RunDir(tmp_path / "r")
    settings = resolve("cpu", "rlsd@official-code", 3, ["train.steps=7"])
    run.open(settings, "RLSD (official code)", "mine", "embedded")
    text = card(run, 5)
    assert "# RLSD (official code), seed 3, step 5 of 7" in text
    assert "trained with RLSD (official code) (`rlsd@official-code`) on `synthetic`,\npreset `cpu`" in text
    assert "This step has not been evaluated." in text
    assert yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]) == settings.model_dump(mode="json")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "apache-2.0"
    for foreign in ("GRPOTrainer", "DeepSeekMath", "None]"):
        assert foreign not in text

    result = {"score": 0.4, "stderr": 0.05, "n": 60, "edition": "mini"}
    (run.path / "eval/5/mmmu").mkdir(parents=True)
    (run.path / "eval/5/mmmu/result.json").write_text(json.dumps(result))
    (tmp_path / "checkpoint").mkdir()
    write_card(run, tmp_path / "checkpoint", 5)
    written = (tmp_path / "checkpoint/README.md").read_text()
    assert "| MMMU | 40.0 ± 5.0 | 60 | mini |" in written
    assert "no score on one compares with a published one" in written
    run.update(model="some/model")
    assert yaml.safe_load(card(run, 5).split("---\n")[1])["base_model"] == "some/model"
