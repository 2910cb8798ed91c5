"""vLLM's CPU engine: the replies of transformers."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.engines.hf import TransformersEngine
from eval.engines.load import loaded_engine
from eval.engines.requests import Question
from eval.pipeline import evaluate as run
from eval.settings import Chat, EvalSettings
from tests.e2e.test_eval import BASE, samples, settings


@pytest.mark.slow
def test_both_engines_give_the_same_greedy_replies(
    local_rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = local_rows(9)
    for i, size in enumerate([(900, 600), (5, 7)]):  # above and below what the processor shows
        Image.new("RGB", size, "red").save(tmp_path / "pictures" / f"{i}.png")
    endless = json.loads(file.read_text().splitlines()[0])
    endless |= {"question_id": "99_1", "question_text": "How many? " * 3000}
    file.write_text(f"{file.read_text()}\n{json.dumps(endless)}")
    ours_told: dict[int, int] = {}  # tokens of each row's prompt, pictures and all
    theirs_told: list[int] = []
    encode = TransformersEngine._encode

    def encoded(engine: TransformersEngine, questions: list[Question]) -> Any:
        inputs = encode(engine, questions)
        counts = inputs["attention_mask"].sum(1).tolist()
        ours_told.update(zip((question.row for question in questions), counts, strict=True))
        return inputs

    monkeypatch.setattr(TransformersEngine, "_encode", encoded)
    from eval.engines import vllm as engine_vllm

    reply = engine_vllm._reply

    def told(output: Any) -> Any:
        theirs_told.append(len(output.prompt_token_ids))
        return reply(output)

    monkeypatch.setattr(engine_vllm, "_reply", told)
    both_times: dict[str, Any] = {"data": str(file), "benches": ("zerobench",), "chat": Chat(system="Be brief.")}
    asked = settings(**both_times, limit=None, temperature=0, max_pixels=2048)
    sampled = settings(**both_times, limit=3, engine="vllm", presence_penalty=1.5)
    both = {}

    def greedy(name: str) -> None:
        result = run.evaluate(BASE, asked.model_copy(update={"engine": name}), tmp_path / name)["zerobench"]
        both[name] = samples(tmp_path / name / "zerobench")
        assert result["generation"]["engine"] == name
        assert result["generation"]["chat"] == result["identity"]["chat"] == {"system": "Be brief."}
        assert len(result["generation"]["banned_token_ids"]) == 4
        assert both[name][-1]["finish"] == "overflow"  # its prompt is longer than the model's context

    greedy("transformers")
    with loaded_engine(BASE, sampled, 1) as engine, monkeypatch.context() as patch:  # one for both, it takes long

        def kept(_: str, wanted: EvalSettings, most: int) -> Any:
            engine.settings = wanted
            return nullcontext(engine)

        patch.setattr(run, "loaded_engine", kept)
        greedy("vllm")
        read = sorted(theirs_told)
        run.evaluate(BASE, sampled, tmp_path / "first")
    assert read == sorted(ours_told[row] for row in range(9))
    assert len(set(read)) > 2
    for ours, theirs in zip(both["transformers"], both["vllm"], strict=True):
        assert ours["prompt_hash"] == theirs["prompt_hash"]
    same = sum(ours["reply"] == theirs["reply"] for ours, theirs in zip(*both.values(), strict=True))
    assert same >= 9  # a tie of two logits may fall the other way once
    run.evaluate(BASE, sampled, tmp_path / "second")
    first, second = (
        [(row["reply"], row["tokens"], row["finish"]) for row in samples(tmp_path / name / "zerobench")]
        for name in ("first", "second")
    )
    assert first == second
