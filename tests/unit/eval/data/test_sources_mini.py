"""The mini editions are what they were: stored results of another version of this program stay comparable."""

import hashlib
import json

import pytest
from PIL import Image

from eval.benches import BENCHES
from eval.benches.bench import Bench
from eval.data.sources import EDITIONS, mini_rows
from eval.grading.score import Row

# sha256 of every column's name and value, pictures by their pixels, as the second drawing (eval.data.sources) has them.
DRAWN = {
    ("mmmu", "validation"): "2d781cdec3ddfe4b8cc37ba337f355e505ee6d730ae9210759853e94a97bddde",
    ("mathvista", "testmini"): "942d611b67f828aff7251b455278212089d9c6bcb83a49a27549feab115ce384",
    ("mathvision", "test"): "8612ec4421037b2d6e3f7f4ab5746fd72923817b57209871e306eea8af43963f",
    ("zerobench", "zerobench_subquestions"): "cf593ea2a0c1380fda2e83dd8ca525be9f5f3b7e682eb59b6c80126be803ab7c",
    ("zerobench", "zerobench"): "fe1f56e687dceb3a9be206bc2f6ec8aff25ec43b9c587da4ec37b8f01a15ce24",
    ("wemath", "testmini"): "17f89bdadbaa55118f91d686f9439eab6e68c596d195e703df0aabf2ae0403e9",
}
PROMPTS = {  # sha256 of the JSON list of the rows' prompts, of the same version
    "mmmu": "d6df5668d5cf80c5d1b5ee7412a2cf44952d0e98a75cd2079acbcb47ae50c97c",
    "mathvista": "820f3508c146ee6753e32f97a2ac5fb536c88356dea195328b9d1fa4a209c8cd",
    "mathvision": "45f71d9a6399b805bee9d0f56765cd9cedebf887fe12455549ada4f6db90dc06",
    "zerobench": "1eddb1881ac16aadfdf5ab362c19e3292d0be055cceb875fcf57c68839768821",
    "wemath": "9ee9dbb0c5adc088e4c242fa45e7eb57b01bff55e127bd2bcf3f1ce955a58286",
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


@pytest.mark.parametrize(
    "bench", [bench for bench in BENCHES.values() if bench.mini_splits], ids=lambda bench: bench.name
)
def test_the_large_edition_begins_with_the_quick_one_and_resolves_a_point_and_a_half(bench: Bench) -> None:
    quick, large = (mini_rows(bench, bench.split, edition) for edition in EDITIONS)
    assert _hash(large[: len(quick)]) == _hash(quick)
    assert len({bench.row_id(row) for row in large}) == len(large)
    assert (0.5 * 0.5 / len(large)) ** 0.5 <= 0.015, "at a share of one half, the worst there is"
