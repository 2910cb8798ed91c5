"""vLLM's CPU engine: the replies of transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.engines.hf import TransformersEngine
from eval.engines.requests import Question
from eval.pipeline import evaluate as run
from eval.settings import Chat
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
    both = {}
    for engine in ("transformers", "vllm"):
        greedy = settings(
            **{"data": str(file), "limit": None, "benches": ("zerobench",), "engine": engine},
            **{"temperature": 0, "max_pixels": 2048, "chat": Chat(system="Be brief.")},
        )
        result = run.evaluate(BASE, greedy, tmp_path / engine)["zerobench"]
        both[engine] = samples(tmp_path / engine / "zerobench")
        assert result["generation"]["engine"] == engine
        assert result["generation"]["chat"] == result["identity"]["chat"] == {"system": "Be brief."}
        assert len(result["generation"]["banned_token_ids"]) == 4
        assert both[engine][-1]["finish"] == "overflow"  # its prompt is longer than the model's context
    assert sorted(theirs_told) == sorted(ours_told[row] for row in range(9))
    assert len(set(theirs_told)) > 2
    for ours, theirs in zip(both["transformers"], both["vllm"], strict=True):
        assert ours["prompt_hash"] == theirs["prompt_hash"]
    same = sum(ours["reply"] == theirs["reply"] for ours, theirs in zip(*both.values(), strict=True))
    assert same >= 9  # a tie of two logits may fall the other way once
    vllm = settings(data=str(file), limit=3, benches=("zerobench",), engine="vllm", presence_penalty=1.5)
    replies = []
    for name in ("first", "second"):
        run.evaluate(BASE, vllm, tmp_path / name)
        replies.append([(row["reply"], row["tokens"], row["finish"]) for row in samples(tmp_path / name / "zerobench")])
    assert replies[0] == replies[1]
