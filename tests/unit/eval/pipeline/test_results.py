import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from eval.benches import BENCHES
from eval.core.errors import UserError
from eval.engines.model_folder import check_model
from eval.engines.requests import longest_first, vision_ids
from eval.pipeline import results
from eval.pipeline.ask import build_task
from eval.pipeline.evaluate import identity
from eval.settings import EvalSettings
from tests.support.paths import ROOT


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "processor_config.json", "tokenizer.json"):
        (folder / name).write_text('{"model_type": "any", "chat_template": "x"}')
    save_file({"a": np.zeros(3 << 18, np.float32)}, folder / "model.safetensors")
    return folder


def test_a_model_is_identified_by_content(tmp_path: Path) -> None:
    one, two = model_folder(tmp_path / "one"), model_folder(tmp_path / "two")
    assert results.model_id(str(one)) == results.model_id(str(two))
    for name in ("trainer_state.json", "complete.json", "optimizer.pt"):  # a checkpoint's, with times in them
        (two / name).write_text("now")
    assert results.model_id(str(one)) == results.model_id(str(two))
    weights = bytearray((two / "model.safetensors").read_bytes())
    weights[2 << 20] = 1
    (two / "model.safetensors").write_bytes(weights)
    assert results.model_id(str(one)) != results.model_id(str(two))
    assert results.model_id("org/name") == "org/name"


@pytest.mark.parametrize("lacks", ["config.json", "processor_config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_model_folder_is_one_line(tmp_path: Path, lacks: str) -> None:
    folder = model_folder(tmp_path / "model")
    check_model(str(folder))
    (folder / lacks).unlink()
    with pytest.raises(UserError, match=r"^[^\n]+holds no [^\n]+$"):
        check_model(str(folder))


def test_a_missing_model_folder_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    check_model("Qwen/Qwen3-VL-8B-Instruct")
    for name in (str(tmp_path / "none"), "./none", "none"):
        with pytest.raises(UserError, match="no such model folder"):
            check_model(name)


def test_how_it_is_computed_is_not_part_of_what_is_asked(tmp_path: Path) -> None:
    model = str(model_folder(tmp_path / "model"))
    base = EvalSettings(data="mini", benches=("mmmu",))
    how = {"batch_size": 1, "device": "cpu", "data_parallel": 2, "judge": {"url": "http://127.0.0.1:1/v1"}}
    same = EvalSettings.model_validate({"data": "mini", **how, "splits": {"zerobench": "zerobench"}})
    own = EvalSettings.model_validate({"data": "mini", "splits": {"mmmu": "validation"}})
    other = EvalSettings(data="mini", temperature=0.5)
    assert identity("mmmu", model, base) == identity("mmmu", model, same) == identity("mmmu", model, own)
    assert identity("zerobench", model, base) != identity("zerobench", model, same)
    assert identity("mmmu", model, base) != identity("mmmu", model, EvalSettings(data="mini", samples=2))
    with pytest.raises(UserError, match=r"temperature 0.7 there, 0.5 asked"):
        results.refuse_other(tmp_path, identity("mmmu", model, base), identity("mmmu", model, other))


def test_a_foreign_result_is_refused(tmp_path: Path) -> None:
    assert results.read_result(tmp_path) is None
    (tmp_path / "result.json").write_text(json.dumps({"accuracy": 1}))
    with pytest.raises(UserError, match="no complete result of this program"):
        results.read_result(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0, "samples": 4}, "temperature 0 gives the same reply 4 times"),
        ({"tensor_parallel": 2}, "tensor_parallel above 1 needs engine vllm"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(change: dict[str, int], message: str) -> None:
    from runners.run.config import resolve

    overrides = ["eval.engine=transformers", *(f"eval.{key}={value}" for key, value in change.items())]
    with pytest.raises(UserError, match=rf"^[^\n]*{message}[^\n]*$"):
        resolve("cpu", "base", 0, overrides)


def test_batches_hold_long_prompts_first_and_every_prompt_once() -> None:
    assert list(longest_first([1, 3, 2, 3, 0], 2)) == [[1, 3], [2, 0], [4]]


def test_vision_ids_come_from_the_config() -> None:
    from transformers import Qwen3VLConfig

    config = Qwen3VLConfig(image_token_id=9, video_token_id=8, vision_start_token_id=7, vision_end_token_id=6)
    assert vision_ids(config) == [6, 7, 8, 9]


def test_presence_penalty_hits_what_the_reply_holds_and_spares_the_prompt() -> None:
    import torch

    from eval.engines.hf import PresencePenalty

    ids_BT = torch.tensor([[0, 1, 2, 2], [0, 1, 3, 1]])
    scores_BV = torch.zeros(2, 5)
    expected = torch.tensor([[0.0, 0, -1.5, 0, 0], [0, -1.5, 0, -1.5, 0]])
    assert torch.equal(PresencePenalty(1.5, prompt_length=2)(ids_BT, scores_BV), expected)


def test_lm_eval_lists_and_builds_all_five_tasks() -> None:
    from lm_eval.tasks import TaskManager

    folder = ROOT / "eval" / "tasks"
    manager = TaskManager(include_path=str(folder), include_defaults=False, metadata={"data": "mini"})
    assert sorted(manager.all_tasks) == sorted(BENCHES)
    task = manager.load("zerobench")["tasks"]["zerobench"]
    doc = task.eval_docs[0]
    assert task.doc_to_image(doc)[0].size == (64, 64)
    sample = task.process_results(doc, [f"{{{doc['question_answer']}}}"])
    assert task.aggregation()["score"]([sample["score"]]) == 1.0


def test_our_tasks_hold_our_rows_and_open_pictures_late() -> None:
    from eval.data.load import load

    rows = load("wemath", "mini", limit=3).rows
    task = build_task("wemath", rows)
    assert len(task.eval_docs) == 3
    (late,) = task.doc_to_image(task.eval_docs[0])
    assert late.open(max_pixels=16).size == (4, 4)
