"""The mini editions are what they were: stored results of another version of this program stay comparable."""

import hashlib
import json

import pytest
from PIL import Image

from eval.benches import BENCHES
from eval.data.mini import mini_rows
from eval.grading.score import Row

# sha256 of every column's name and value, pictures by their pixels, as the first version with mini editions drew them.
DRAWN = {
    ("mmmu", "validation"): "7b77985f1b45baaa6e864765b544373ffe3a51b071b0b196224840420bbe9de5",
    ("mathvista", "testmini"): "105b0b0986879891b56644bcd24e8ed1cf2f5ee5cfa7c19a68eef92021b246e2",
    ("mathvision", "test"): "87eaa8ea5a9093735dd819846a0510ffcd4729eb66a1c755a87b640d781496ff",
    ("zerobench", "zerobench_subquestions"): "f141ea5e57b64c6b66d5b8820fed5aa4be83c35e6c14a124542d33ed0f4f5315",
    ("zerobench", "zerobench"): "93de02f5f077c0bf174bf8829f5a17025de0a730dadbee8c851333740f9c361b",
    ("wemath", "testmini"): "d32480d333822f5c91f3e5cfa1d829084fba21f8e35836ccf2f3eeefa07a94a7",
}
PROMPTS = {  # sha256 of the JSON list of the rows' prompts, of the same version
    "mmmu": "73382caa829718c5570402a40b53a123ef1056eb509bb24a12932bf10dbd15af",
    "mathvista": "68450fe630cd73fc1f5cb459581a4967c2e9781c7b0a688cdde8033ba952b7b8",
    "mathvision": "323c1f7ab0e2147990737b285fe5139f37342f15b7879fc6e918220ef877754c",
    "zerobench": "c761481d1f2918214e130095e76d0d5baf0b1263b973774f43cfdbe01b9ee5fc",
    "wemath": "ef46ae5cabfc29ac4755386ca68846839af8b87df5e0823392300515325bef03",
}


def _hash(rows: list[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        for column, cell in row.items():
            digest.update(column.encode())
            pictures = cell if isinstance(cell, list) and cell and isinstance(cell[0], Image.Image) else [cell]
            for value in pictures:
                digest.update(value.tobytes() if isinstance(value, Image.Image) else json.dumps(value).encode())
    return digest.hexdigest()


def test_every_drawn_split_is_held() -> None:
    assert set(DRAWN) == {(bench.name, split) for bench in BENCHES.values() for split in bench.mini_splits}


@pytest.mark.parametrize(("name", "split"), DRAWN)
def test_rows_are_drawn_byte_for_byte(name: str, split: str) -> None:
    assert _hash(mini_rows(BENCHES[name], split)) == DRAWN[name, split]


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_word_for_word(name: str) -> None:
    prompts = [BENCHES[name].prompt(row) for row in mini_rows(BENCHES[name], BENCHES[name].split)]
    assert hashlib.sha256(json.dumps(prompts).encode()).hexdigest() == PROMPTS[name]
