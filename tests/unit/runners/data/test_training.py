"""Which rows a run trains on, in which order, and what several processes cannot train on."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from eval.core.errors import UserError
from runners.data.training import in_order
from runners.run.config import resolve
from tests.support.training import training_rows

LONG = "dots " * 200
Rows = list[tuple[str, int]]  # questions, each with as many pictures


def trained(folder: Path, rows: Rows, needed: int, *more: str) -> Any:
    Image.new("RGB", (32, 32)).save(folder / "a.png")
    lines = [{"id": i, "question": text, "answer": "1", "images": ["a.png"] * n} for i, (text, n) in enumerate(rows)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = (f"data.source={folder / 'rows.jsonl'}", "train.max_prompt_tokens=60")
    size = (f"train.steps={needed}", "train.prompts=1", "train.micro_batch=8")
    return training_rows(resolve("cpu", "grpo", 0, [*source, *size, *more]))


def test_for_a_prompt_that_is_too_long_the_next_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = trained(tmp_path, [("a", 0), (LONG, 0), ("b", 1), ("c", 0), (LONG, 0)], 3)
    assert rows["id"] == ["0", "2", "3"]
    assert rows.column_names == ["id", "prompt", "images", "answer", "solution", "pictures"]
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 4 prompts left out: longer than 60 tokens"


def test_a_picture_is_part_of_its_prompt(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"every prompt is longer than train\.max_prompt_tokens = 20"):
        trained(tmp_path, [("a", 1)], 1, "train.max_prompt_tokens=20")


def test_an_epoch_s_end_shuffles_by_the_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = trained(tmp_path, [(str(i), 0) for i in range(6)] + [(LONG, 0)], 18)
    epochs = [rows["id"][i : i + 6] for i in (0, 6, 12)]
    assert epochs[0] == list("012345")
    assert [sorted(epoch) for epoch in epochs] == [epochs[0]] * 3
    assert len(set(map(tuple, epochs))) == 3
    assert "6 prompts for 18: each is shown 3 times" in capsys.readouterr().out
    assert in_order(range(6), 18, 0) == [int(i) for i in rows["id"]], "alike for every method"
    assert in_order(range(6), 18, 1)[:6] == list(range(6))
    assert in_order(range(6), 18, 1) != in_order(range(6), 18, 0)
    assert in_order(range(6), 12, 0) == in_order(range(6), 18, 0)[:12], "a run that is extended goes on"


def test_processes_that_share_weights_want_pictures_in_all_prompts_or_in_none(tmp_path: Path) -> None:
    two = ("train.processes=2", "train.micro_batch=4", "train.sharding=fsdp2")
    with pytest.raises(UserError, match=r"1 of 2 prompts have no picture.*train\.sharding=none"):
        trained(tmp_path, [("a", 0), (LONG, 1), ("b", 1)], 2, *two)
    assert trained(tmp_path, [("a", 0), ("b", 1)], 2, *two[:2])["pictures"] == [0, 1]
    for alike in ([("a", 0), (LONG, 1), ("b", 0)], [("a", 1), ("b", 1)]):
        assert len(trained(tmp_path, alike, 2, *two)) == 2


def test_rows_as_verl_and_llava_write_them(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "png")
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "<image>How many?"}]
    verl = {"prompt": turns, "reward_model": {"style": "rule", "ground_truth": "3"}, "extra_info": {"index": 7}}
    table = pyarrow.Table.from_pylist([{**verl, "images": [{"bytes": stream.getvalue(), "path": None}]}])
    pyarrow.parquet.write_table(table, tmp_path / "verl.parquet")
    said = [{"from": "human", "value": "<image>How many?"}, {"from": "gpt", "value": "3"}]
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    (tmp_path / "llava.json").write_text(json.dumps([{"id": 7, "image": "a.png", "conversations": said}]))
    mapped = {
        "verl.parquet": ("question=prompt.-1.content", "answer=reward_model.ground_truth", "id=extra_info.index"),
        "llava.json": ("question=conversations.0.value", "answer=conversations.1.value"),
    }
    for name, columns in mapped.items():
        named = [f"data.columns.{column}" for column in columns]
        size = ("train.steps=1", "train.prompts=1", f"data.source={tmp_path / name}")
        (row,) = training_rows(resolve("cpu", "grpo", 0, [*size, *named]))
        assert (row["id"], row["answer"], len(row["images"])) == ("7", "3", 1)
        assert row["prompt"][0]["content"].startswith("<image>How many?")
