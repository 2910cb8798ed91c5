"""Replies on their way: random streams, lengths, what a broken-off evaluation keeps."""

import io
import json
import math
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from eval.core.errors import UserError
from eval.core.images import Picture
from eval.data.load import Data, doc_hash
from eval.engines.hf import Draw, TransformersEngine
from eval.engines.requests import picture_tokens, reply_seed
from eval.pipeline import replies
from eval.settings import EvalSettings

IDENTITY = {"seed": 0, "data": "mini"}
NO_IDS = torch.zeros(1, 0, dtype=torch.long)


# --- random streams -----------------------------------------------------------------------------------------------


def test_every_reply_has_a_seed_of_its_own() -> None:
    seeds = {reply_seed(seed, row, sample) for seed in range(3) for row in range(40) for sample in range(40)}
    assert len(seeds) == 3 * 40 * 40
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_a_draw_is_the_inverse_of_the_cumulative_distribution() -> None:
    """Token 0 has half, 1 nothing, 2 three tenths, 3 two tenths: the bounds are .5, .5, .8 and 1."""
    logits_BV = torch.tensor([0.5, 0.0, 0.3, 0.2]).log().repeat(200, 1)
    drawn = Draw(range(200))(NO_IDS, logits_BV).argmax(-1).tolist()
    uniform = [random.Random(seed).random() for seed in range(200)]
    assert drawn == [0 if u < 0.5 else 2 if u < 0.8 else 3 for u in uniform]


def test_draws_follow_the_distribution_step_after_step() -> None:
    """Chi-square with two degrees of freedom: 13.8 is passed once in a thousand, and the seeds are fixed."""
    draw, counts = Draw([reply_seed(0, row, 0) for row in range(600)]), Counter[int]()
    logits_BV = torch.tensor([0.5, 0.3, 0.2]).log().repeat(600, 1)
    for _ in range(10):
        counts.update(draw(NO_IDS, logits_BV).argmax(-1).tolist())
    expected = {0: 3000, 1: 1800, 2: 1200}
    assert sum((counts[token] - n) ** 2 / n for token, n in expected.items()) < 13.8


def test_only_the_drawn_token_is_left_and_the_last_one_can_be_drawn() -> None:
    scores_BV = Draw([5])(NO_IDS, torch.tensor([[-math.inf, -math.inf, 3.0]]))
    assert scores_BV.tolist() == [[-math.inf, -math.inf, 0.0]]


def test_a_stream_does_not_know_its_batch() -> None:
    logits_BV = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    whole, alone = Draw([1, 2, 3]), Draw([3])
    for _ in range(20):
        assert torch.equal(whole(NO_IDS, logits_BV)[2:], alone(NO_IDS, logits_BV[2:]))


def test_temperature_then_top_k_then_top_p() -> None:
    """Weights 8, 4, 2, 1 at temperature 1/2 are 64, 16, 4, 1; of the three that top-k keeps, 80/84 reach top-p 0.9."""
    settings = EvalSettings(temperature=0.5, top_k=3, top_p=0.9, presence_penalty=0)
    engine = SimpleNamespace(settings=settings, eos={0}, pad=0, banned=[])
    questions = [SimpleNamespace(row=row, sample=0) for row in range(4000)]
    _, processors, draw = TransformersEngine._sampling(engine, questions, 0, 8)  # type: ignore[arg-type]
    assert draw
    logits_BV = torch.tensor([8.0, 4.0, 2.0, 1.0]).log().repeat(4000, 1)
    scores_BV = processors(torch.zeros(4000, 0, dtype=torch.long), logits_BV)
    counts = Counter(draw.tokens(scores_BV, torch.arange(4000)).tolist())
    assert set(counts) == {0, 1}
    assert abs(counts[0] - 3200) < 4 * math.sqrt(4000 * 0.8 * 0.2)


# --- lengths ------------------------------------------------------------------------------------------------------


def test_tokens_of_a_picture_are_estimated_within_the_limits() -> None:
    """A token is a square of 16 pixels here; the processor shows between 1,024 and 4,096 pixels."""
    size = SimpleNamespace(shortest_edge=1024, longest_edge=4096)
    processor = SimpleNamespace(patch_size=8, merge_size=2, size=size)
    assert picture_tokens(2048, None, processor) == 8
    assert picture_tokens(10**7, None, processor) == 16
    assert picture_tokens(10**7, 2048, processor) == 8
    assert picture_tokens(10, None, processor) == 4
    assert picture_tokens(28 * 28 * 5, None, SimpleNamespace()) == 5


def test_a_picture_is_measured_without_decoding_it() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20)).save(stream, "png")
    head = stream.getvalue()[:60]  # the header and no pixels
    assert Picture(head).header() == ("RGB", 600)
    assert Picture(Image.new("L", (5, 4))).header() == ("L", 20)


# --- what is kept -------------------------------------------------------------------------------------------------


def _answer(name: str, sample: int = 0, text: str = "5") -> dict[str, Any]:
    about = {"doc_hash": "d", "prompt_hash": "p", "tokens": 1, "finish": "stop"}
    return {"id": name, "sample": sample, "text": text, **about}


def _write(path: Path, *answers: dict[str, Any]) -> None:
    replies.append(path, IDENTITY, {"engine": "e"}, answers)


def test_replies_are_there_as_soon_as_they_are_appended(tmp_path: Path) -> None:
    path = replies.main_file(tmp_path / "new")
    _write(path, _answer("a", text="two\u2028lines\n"))
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"identity": IDENTITY, "generation": {"engine": "e"}},
        _answer("a", text="two\u2028lines\n"),
    ]
    _write(path, _answer("a", 1))
    kept = replies.read(path, IDENTITY)
    assert (list(kept.answers), kept.generation) == ([("a", 0), ("a", 1)], {"engine": "e"})


def test_workers_are_merged_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    _write(replies.main_file(tmp_path), _answer("a"))
    _write(replies.worker_file(tmp_path, 0), _answer("b"), _answer("c"))
    for path in (replies.main_file(tmp_path), replies.worker_file(tmp_path, 0)):
        with path.open("a") as stream:
            stream.write('{"id": "torn", "sam')
    replies.worker_file(tmp_path, 1).write_text('{"identity": {"se')
    assert list(replies.merge(tmp_path, IDENTITY).answers) == [("a", 0), ("b", 0), ("c", 0)]
    assert [path.name for path in tmp_path.iterdir()] == ["replies.jsonl"]
    _write(replies.main_file(tmp_path), _answer("d"))
    assert list(replies.merge(tmp_path, IDENTITY).answers) == [("a", 0), ("b", 0), ("c", 0), ("d", 0)]


def test_killed_before_the_first_line_was_whole(tmp_path: Path) -> None:
    replies.main_file(tmp_path).write_text('{"identity": {"se')
    assert replies.merge(tmp_path, IDENTITY) == ({}, None)
    assert not list(tmp_path.iterdir())


def test_replies_to_other_questions_are_refused_by_name(tmp_path: Path) -> None:
    _write(replies.main_file(tmp_path), _answer("a"))
    with pytest.raises(UserError, match=r"holds another evaluation \(seed 0 there, 1 asked\)"):
        replies.merge(tmp_path, {**IDENTITY, "seed": 1})


@pytest.mark.parametrize("text", ["mine\n", "[]\n", '{"a": 1}\n', '{"identity": {}, "generation": {}}\nnot json\n'])
def test_a_foreign_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    replies.main_file(tmp_path).write_text(text)
    with pytest.raises(UserError, match=r"^[^\n]+not the replies of a broken-off evaluation; remove it [^\n]+$"):
        replies.merge(tmp_path, IDENTITY)
    assert replies.main_file(tmp_path).read_text() == text


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    assert Path("/dev/full").is_char_device()
    replies.main_file(tmp_path).symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"the disk is full at [^\n]+: free space and give the same command again"):
        _write(replies.main_file(tmp_path), _answer("a"))


def test_what_is_unanswered_is_told_by_row_and_sample(tmp_path: Path) -> None:
    from eval.pipeline.ask import Work

    rows = [{"question_id": str(i), "question_text": "?", "question_images_decoded": []} for i in range(3)]
    work = Work("zerobench", Data(rows, 0), IDENTITY, tmp_path)
    answered = {
        (str(i), j): _answer(str(i), j) | {"doc_hash": doc_hash("zerobench", rows[i])} for i, j in [(0, 1), (2, 0)]
    }
    kept = replies.Kept(answered, {})
    assert work.unanswered(kept, 2) == [(0, 0), (1, 0), (1, 1), (2, 1)]
    rows[2]["question_text"] = "What?"
    with pytest.raises(UserError, match="row 2 was another when it was asked"):
        work.unanswered(kept, 2)
