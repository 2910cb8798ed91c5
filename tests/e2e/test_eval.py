"""One model, both engines, plain files: evaluation end to end on the embedded base."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval.benches import BENCHES
from eval.core.errors import UserError
from eval.core.images import Picture
from eval.data.load import load
from eval.engines.hf import TransformersEngine
from eval.engines.load import fitting_threads, loaded_engine
from eval.engines.requests import Question, prompt_lengths
from eval.pipeline import ask
from eval.pipeline import evaluate as run
from eval.settings import EvalSettings
from tests.support.paths import ROOT

BASE = str(ROOT / "runners" / "embedded" / "base")


def settings(**other: Any) -> EvalSettings:
    small = {
        "data": "mini",
        "limit": 6,
        "max_new_tokens": 24,
        "batch_size": 4,
        "presence_penalty": 0.0,
        "device": "cpu",
    }
    return EvalSettings.model_validate({**small, **other})


def samples(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "samples.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All five mini benches, a few rows each, with sampling."""
    out = tmp_path_factory.mktemp("eval")
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    results = run.evaluate(BASE, settings(), out, step=3)
    assert torch.equal(torch.rand(1), expected), "sampling must leave the caller's random stream alone"
    assert tuple(results) == tuple(BENCHES)
    return out


def test_every_bench_leaves_a_result_and_its_samples(evaluated: Path) -> None:
    for bench in BENCHES:
        result = json.loads((evaluated / bench / "result.json").read_text())
        rows = samples(evaluated / bench)
        assert (result["bench"], result["edition"], result["rule"], result["step"]) == (bench, "mini", "default", 3)
        assert len(rows) == result["rows"] == 6
        assert result["n"] == (2 if bench == "wemath" else 6)
        assert 0 <= result["score"] <= 1
        assert result["parsed"] == sum(row["parsed"] for row in rows) / 6
        assert result["truncated"] == sum(row["finish"] == "length" for row in rows) / 6
        assert all(1 <= row["tokens"] <= 24 for row in rows)
        assert all((row["tokens"] == 24) or row["finish"] == "stop" for row in rows)
        assert result["generation"]["engine"] == "transformers"
        assert result["generation"]["top_k"] == 20
        assert len({row["doc_hash"] for row in rows}) == 6
        assert result["samples"] == 1
        names = sorted(path.name for path in (evaluated / bench).iterdir())
        assert names == ["questions.parquet", "result.json", "samples.parquet"]


def test_leakage_counts_every_reply_of_every_bench(evaluated: Path) -> None:
    leakage = json.loads((evaluated / "leakage.json").read_text())["mention"]
    assert leakage["n"] == 30
    assert set(leakage["per_bench"]) == set(BENCHES)
    assert 0 <= leakage["rate"] <= 1


def test_a_second_call_does_no_work_and_says_so(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "loaded_engine", None)  # any attempt to load a model fails
    monkeypatch.setattr(ask, "load", None)
    before = (evaluated / "mmmu" / "result.json").stat().st_mtime_ns
    results = run.evaluate(BASE, settings(batch_size=1, benches=("mmmu", "wemath")), evaluated)
    assert tuple(results) == ("mmmu", "wemath")
    assert "nothing to do" in capsys.readouterr().out
    assert (evaluated / "mmmu" / "result.json").stat().st_mtime_ns == before


def test_other_settings_in_the_same_folder_are_refused_by_name(evaluated: Path) -> None:
    with pytest.raises(UserError, match=r"seed 0 there, 1 asked"):
        run.evaluate(BASE, settings(seed=1), evaluated)


def test_a_seed_fixes_the_replies_whatever_benches_run_beside(tmp_path: Path) -> None:
    whole = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    run.evaluate(BASE, settings(benches=("zerobench",), **whole), tmp_path / "alone")
    run.evaluate(BASE, settings(benches=("mathvista", "zerobench"), **whole), tmp_path / "beside")
    run.evaluate(BASE, settings(benches=("zerobench",), seed=1, **whole), tmp_path / "other")
    alone, beside, other = (
        [row["reply"] for row in samples(tmp_path / name / "zerobench")] for name in ("alone", "beside", "other")
    )
    assert alone == beside
    assert alone != other


def test_several_replies_a_question(tmp_path: Path) -> None:
    several = settings(benches=("wemath",), samples=3, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=64)
    result = run.evaluate(BASE, several, tmp_path / "three")["wemath"]
    rows = samples(tmp_path / "three" / "wemath")
    ids = [f"{row['ID']}/{row['key']}" for row in load("wemath", "mini", limit=6).rows]
    assert [(row["id"], row["sample"]) for row in rows] == [(i, sample) for i in ids for sample in range(3)]
    assert len({row["reply"] for row in rows}) > 9, "samples of a question differ"
    assert (result["samples"], result["rows"], result["n"]) == (3, 6, 2)
    assert result["truncated"] == sum(row["finish"] == "length" for row in rows) / 18
    assert result["tokens"] == sum(row["tokens"] for row in rows) / 18
    assert result["scores"]["pass@1"] == sum(row["correct"] for row in rows) / 18
    run.evaluate(BASE, several.model_copy(update={"samples": 1}), tmp_path / "one")
    first = [row["reply"] for row in samples(tmp_path / "one" / "wemath")]
    assert first == [row["reply"] for row in rows if row["sample"] == 0], "more samples leave the first as it was"


@pytest.fixture(scope="module")
def engine() -> Iterator[TransformersEngine]:
    with loaded_engine(BASE, settings(max_new_tokens=24, temperature=1.0, top_p=1.0, top_k=0), 1) as loaded:
        yield loaded


def _questions(engine: TransformersEngine, bench: str, rows: int) -> list[Question]:
    found = load(bench, "mini", limit=rows).rows
    prompts = ask.prompts(engine, bench, found)
    return [Question(i, j, prompts[i], BENCHES[bench].shown(row)) for i, row in enumerate(found) for j in range(2)]


def _replies(engine: TransformersEngine, questions: list[Question], batch_size: int) -> dict[tuple[int, int], Any]:
    engine.settings = engine.settings.model_copy(update={"batch_size": batch_size})
    answered = [pair for batch in engine.answers(questions) for pair in batch]
    assert len(answered) == len(questions)
    return {(question.row, question.sample): reply for question, reply in answered}


def test_a_sampled_reply_does_not_hang_on_what_is_asked_beside_it(engine: TransformersEngine) -> None:
    questions = _questions(engine, "zerobench", 5) + [q._replace(row=q.row + 5) for q in _questions(engine, "mmmu", 3)]
    whole = _replies(engine, questions, 16)
    assert len(set(whole.values())) > 12, "the samples differ"
    assert _replies(engine, questions, 1) == whole
    part = questions[::-3]
    assert _replies(engine, part, 4) == {(q.row, q.sample): whole[q.row, q.sample] for q in part}


def test_questions_without_pictures_are_answered_alone_and_among_others(engine: TransformersEngine) -> None:
    turn = [{"role": "user", "content": [{"type": "text", "text": "What is 2 + 3?"}]}]
    prompt = engine.processor.apply_chat_template(turn, add_generation_prompt=True)
    bare = [Question(row, 0, prompt, []) for row in (90, 91)]
    alone = _replies(engine, bare, 2)
    assert all(reply.tokens for reply in alone.values())
    among = _replies(engine, bare + _questions(engine, "mathvista", 2), 8)
    assert {key: among[key] for key in alone} == alone


def test_the_length_of_a_prompt_is_estimated_with_its_pictures(engine: TransformersEngine) -> None:
    question, estimates = _questions(engine, "mathvista", 1)[0], {}
    for size in ((8, 8), (64, 64), (48, 32), (900, 600)):
        shown = question._replace(pictures=[Picture(Image.new("RGB", size))])
        for max_pixels in (None, 2048):
            engine.settings = engine.settings.model_copy(update={"max_pixels": max_pixels})
            tokens = engine._encode([shown])["attention_mask"].sum().item()
            (estimate,) = prompt_lengths([shown], engine.processor, max_pixels)
            # The prompt already holds one placeholder; both sides are rounded to whole tokens of 16 pixels.
            assert abs(estimate - 1 - tokens) <= 4
            estimates[size, max_pixels] = estimate
    assert estimates[(900, 600), None] - estimates[(8, 8), None] == 16 - 4
    assert estimates[(900, 600), 2048] - estimates[(8, 8), 2048] == 8 - 4
    engine.settings = engine.settings.model_copy(update={"max_pixels": None})


def test_a_batched_reply_is_what_the_model_says_when_asked_alone(tmp_path: Path) -> None:
    """Chat template, the picture's place and left padding: any of them wrong changes a greedy reply."""
    run.evaluate(BASE, settings(benches=("mathvista",), temperature=0), tmp_path)
    processor = AutoProcessor.from_pretrained(BASE)
    model = AutoModelForImageTextToText.from_pretrained(BASE).eval()
    stored = samples(tmp_path / "mathvista")
    for row, sample in zip(load("mathvista", "mini", limit=6).rows, stored, strict=True):
        content = [{"type": "image"}, {"type": "text", "text": row["query"]}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = processor(text=[prompt], images=[[row["decoded_image"].open()]], return_tensors="pt")
        with torch.no_grad(), fitting_threads(BASE):
            ids = model.generate(**inputs, max_new_tokens=24, do_sample=False)
        assert (
            processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            == sample["reply"]
        )


def test_vision_placeholders_are_never_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    reply = TransformersEngine._reply

    def watch(self: TransformersEngine, ids: list[int]) -> Any:
        seen.update(ids)
        return reply(self, ids)

    monkeypatch.setattr(TransformersEngine, "_reply", watch)
    # Near-uniform sampling meets every id of the small vocabulary that is not banned.
    hot = settings(benches=("mmmu",), limit=60, temperature=100.0, top_p=1.0, top_k=0, max_new_tokens=40, batch_size=60)
    result = run.evaluate(BASE, hot, tmp_path)["mmmu"]
    banned = result["generation"]["banned_token_ids"]
    assert len(banned) == 4
    assert len(seen) > 500
    assert not seen & set(banned)


def test_without_answers_it_generates_and_says_that_it_cannot_grade(
    local_rows: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = settings(data=str(local_rows(2, question_answer=None)), benches=("zerobench",))
    result = run.evaluate(BASE, local, tmp_path / "out")["zerobench"]
    assert (result["score"], result["n"], result["rows"], result["ungraded"]) == (None, 0, 2, 2)
    assert result["edition"] == "local"
    assert "cannot grade" in capsys.readouterr().out
    assert [row["correct"] for row in samples(tmp_path / "out" / "zerobench")] == [None, None]


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "1"}\n')
    for model, source in ((BASE, str(tmp_path / "rows.jsonl")), (str(tmp_path), "mini")):
        with pytest.raises(UserError):
            run.evaluate(model, settings(data=source, benches=("mathvision",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
