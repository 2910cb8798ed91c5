"""Which training rows are kept, and what several processes cannot train on."""

from typing import Any

import pytest
from datasets import Dataset, Image, List
from PIL import Image as Picture
from transformers import AutoProcessor

from eval.core.errors import UserError
from runners.data.fit import fit_prompts
from runners.run.model import locate

SHORT, LONG = "How many dots?", "How many dots? " * 20


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(locate("embedded"))


def rows(*prompts: tuple[str, int]) -> Dataset:
    """Each prompt with as many pictures."""
    drawn = Picture.new("RGB", (32, 32))
    columns = {
        "prompt": [[{"role": "user", "content": text}] for text, _ in prompts],
        "images": [[drawn] * pictures for _, pictures in prompts],
    }
    return Dataset.from_dict(columns).cast_column("images", List(Image()))


def test_prompts_that_are_too_long_are_left_out_and_counted(processor: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kept = fit_prompts(rows((SHORT, 0), (LONG, 0), (SHORT, 1)), processor, 40)
    assert [row["prompt"][0]["content"] for row in kept] == [SHORT] * 2
    assert capsys.readouterr().out == "1 of 3 prompts left out: longer than 40 tokens\n"


def test_a_picture_is_part_of_its_prompt(processor: Any) -> None:
    alone = len(processor.tokenizer(SHORT)["input_ids"])
    with pytest.raises(UserError, match=r"every prompt is longer than train\.max_prompt_tokens"):
        fit_prompts(rows((SHORT, 1)), processor, alone)
    assert len(fit_prompts(rows((SHORT, 0)), processor, alone)) == 1


def test_several_processes_want_pictures_in_all_prompts_or_in_none(processor: Any) -> None:
    mixed = rows((SHORT, 0), (SHORT, 1), (LONG, 1))
    with pytest.raises(UserError, match=r"1 of 2 prompts have no picture.*train\.processes=1"):
        fit_prompts(mixed, processor, 40, processes=2)
    assert len(fit_prompts(mixed, processor, 40)) == 2
    for alike in (mixed.select([0]), mixed.select([1]), rows((SHORT, 1), (LONG, 0))):
        assert len(fit_prompts(alike, processor, 40, processes=2)) == 1
