"""The exact score against the model's own log-probabilities, and the information of a reference by hand."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from eval.benches.drawn import Group, Problem, Scene, with_options
from eval.core import files, manifest
from eval.core.errors import UserError
from runners.data.rows import drawn_problems
from runners.embedded import exact
from runners.embedded.demonstrations import Example
from runners.embedded.exact import exact_score, held_out, log_probs, right_by_a_wrong_chain, right_chains, score_runs
from runners.embedded.information import information, possible_answers
from runners.embedded.rows import encode
from runners.run.config import resolve
from runners.run.model import load
from runners.run.run_dir import RunDir
from tests.support.helpers import small


@pytest.fixture(scope="module")
def loaded():  # type: ignore[no-untyped-def]
    return load(resolve("cpu", "grpo", 0, []).model)


@torch.no_grad()
def test_log_probs_are_those_of_each_row_alone(loaded) -> None:  # type: ignore[no-untyped-def]
    model, processor = loaded
    model.eval()
    rows = [example for problem in held_out(4) for example in right_chains(problem)]
    expected = []
    for row in rows:
        inputs = encode(processor, [row], True)
        own = int((inputs["labels"] != -100).sum())
        expected.append(-model(**inputs).loss.item() * own)
    assert log_probs(model, processor, rows) == pytest.approx(expected, abs=2e-3)
    first = [Example(row.text, "", row.problem) for row in rows]
    logits_BV = model(**encode(processor, first, False)).logits[:, -1].log_softmax(-1)
    opening = processor.tokenizer("I see")["input_ids"][0]
    rest = [whole - row_V[opening].item() for whole, row_V in zip(expected, logits_BV, strict=True)]
    assert log_probs(model, processor, rows, after=1) == pytest.approx(rest, abs=2e-3)


def test_the_score_is_the_sum_over_the_ways_and_its_mean(loaded) -> None:  # type: ignore[no-untyped-def]
    model, processor = loaded
    problems = held_out(12)
    found = exact_score(model, processor, problems)
    sums = [
        sum(math.exp(value) for value in log_probs(model, processor, right_chains(problem))) for problem in problems
    ]
    assert found.score == pytest.approx(sum(sums) / 12, abs=1e-4)
    assert found.n == 12 and 0 < found.score < 1 and max(sums) <= 1 + 1e-6
    assert sum(len([p for p in problems if p.kind == k]) * s for k, s in found.kinds.items()) == pytest.approx(
        sum(sums)
    )


def test_held_out_problems_are_fixed() -> None:
    assert held_out(5) == held_out(5) != held_out(5, seed=1)


def test_runs_are_scored_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def score(folder: Path, n: int) -> exact.Exact:
        asked.append(Path(folder).name)
        return exact.Exact(0.25, n, {})

    monkeypatch.setattr(exact, "score_folder", score)
    run = tmp_path / "grpo" / "seed0"
    (run / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    manifest.seal(run / "checkpoints" / "checkpoint-3", step=3)
    (run / "run.json").write_text('{"status": "done", "model": "embedded", "steps": 3}')
    for _ in range(2):
        assert list(score_runs(tmp_path, 7)) == [("grpo/seed0", 0.25, None)]
    assert asked == ["checkpoint-3"]
    assert json.loads((run / "exact.json").read_text())["n"] == 7
    with pytest.raises(UserError, match="holds no run and no checkpoint"):
        list(score_runs(tmp_path / "nothing", 7))


def test_a_trained_run_without_checkpoints_is_not_scored_as_its_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path / "grpo" / "seed0")
    run.open(small("grpo"), "GRPO", "s", "embedded")
    run.update(status="done")
    assert list(score_runs(tmp_path, 7)) == [("grpo/seed0", None, None)]
    assert "not scored: " in capsys.readouterr().out
    files.write_json(run.path / "exact.json", {"checkpoint": "checkpoint-3", "n": 7, "score": 0.25})
    assert list(score_runs(tmp_path, 7)) == [("grpo/seed0", 0.25, None)]  # from when it had them


def test_right_replies_by_a_wrong_chain_are_counted(tmp_path: Path) -> None:
    """Of four right replies one has a count that is not the picture's, and one a sum that is not the sum."""
    run = RunDir(tmp_path / "grpo" / "seed0")
    run.open(small("grpo"), "GRPO", "s", "embedded")
    (run.path / "completions").mkdir(exist_ok=True)
    assert right_by_a_wrong_chain(run) is None
    problem = next(p for p in drawn_problems(0) if p.kind == "sum")
    number = next(i for i, p in enumerate(drawn_problems(0)) if p == problem)
    good = problem.demonstrate(way=problem.ways[0])
    count = re.sub(r"=(\d+)", lambda m: f"={int(m[1]) + 1}", good, count=1)
    result = re.sub(r"(\+\d+)=(\d+)", lambda m: f"{m[1]}={int(m[2]) + 1}", good, count=1)
    assert len({good, count, result}) == 3
    rows = [(good, 1.0), (good, 1.0), (count, 1.0), (result, 1.0), (count, 0.0)]
    frame = pd.DataFrame({"id": f"drawn_0_{number}", "reply": [r for r, _ in rows], "reward": [v for _, v in rows]})
    frame.to_parquet(run.path / "completions" / "step00001.parquet")
    assert right_by_a_wrong_chain(run) == 0.5
    frame.assign(reward=0.0).to_parquet(run.path / "completions" / "step00001.parquet")
    assert right_by_a_wrong_chain(run) is None


def problem(kind: str, first: Group) -> Problem:
    groups = (first, Group(2, "blue", "square"), Group(1, "green", "triangle", covered=False))
    return Problem(Scene(groups, ((), (), ())), kind, groups, (2, 3))


def test_what_may_be_under_the_patches_by_hand() -> None:
    covered, plain = Group(3, "red", "circle", covered=True), Group(3, "red", "circle")
    assert possible_answers(problem("sum", plain)) == {"5": 1.0}
    assert possible_answers(problem("sum", covered)) == pytest.approx({"4": 0.3, "5": 0.7})
    assert possible_answers(problem("both", covered)) == pytest.approx({"10": 0.3, "12": 0.7})
    two = problem("sum", covered)
    both = tuple(replace(g, covered=True) if g.colour == "blue" else g for g in two.groups)
    # 2 or 3 and 2 or 3: .09, .42, .49
    assert possible_answers(replace(two, groups=both)) == pytest.approx({"4": 0.09, "5": 0.42, "6": 0.49})
    # a difference never falls below zero: 2 - 3 is ruled out
    difference = replace(two, kind="difference", groups=both)
    assert possible_answers(difference) == pytest.approx({"0": 0.58 / 0.79, "1": 0.21 / 0.79})
    assert set(possible_answers(with_options(problem("sum", covered), 4))) == {"A", "B"}


def test_a_reference_that_the_picture_settles_tells_nothing(loaded) -> None:  # type: ignore[no-untyped-def]
    model, processor = loaded
    settled = [p for p in held_out(30) if len(possible_answers(p)) == 1][:12]
    found = information(model, processor, settled)
    assert found["I(Y;R|X) a token"] == 0
