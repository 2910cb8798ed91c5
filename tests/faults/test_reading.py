"""What the commands that read runs, or the machine, refuse: in one line, and nothing is left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runners.run.config import dump, resolve
from runners.run.lock import held
from tests.support.report_suite import CORRECT, write_eval, write_run

# {suite} holds GRPO, evaluated on all benches, RLSD and the base, on none; {file} is a file. Beside the words: what is
# said.
WORDS = {
    "compare {suite}/grpo/seed0 nowhere": "nowhere is no run",
    "compare {suite} {suite}": "is no run",
    "compare {suite}/grpo/seed0 {suite}/rlsd/seed0": "share no bench",
    "replies nowhere": "nowhere is no run",
    "replies {suite}/rlsd/seed0": "has no evaluation",
    "replies {suite}/grpo/seed0 --bench mmlu": "unknown bench 'mmlu'",
    "watch nowhere": "no runs below nowhere",
    "watch . --once": "no runs below .",
    "doctor --preset nobody": "nobody",
    "paper fig9 {suite}": "unknown item 'fig9'",
    "paper table2 nowhere": "no such folder",
    "paper fig3c {suite}": "needs the metric divergence",
    "paper fig6 {suite}": "needs token tables",
    "paper table2 {suite} --filter colour=red": "choose one of method, variant, seed",
    "paper table2 {suite} --out {file}": "{file}",
    "paper fig1b {suite} --out {file}": "{file}",
    "report {suite}/grpo/seed0": "is one run",
    "report {suite} --filter method": "write it as method=grpo,rlsd",
    "report {suite} --filter method=nobody": "no run of suite fits method=nobody",
    "report {suite} --row mine": "write it as other=",
    "report {suite} --row mine=nowhere": "neither a run nor an evaluation",
    "report {suite} --row grpo={suite}/grpo/seed0": "has a row of that name",
    "report {suite} --out {file}": "is a file",
    "eval --run {suite}/base/seed0 --at soon": "--at 'soon'",
    "eval --run {suite}/base/seed0 --at 7": "has no weights of step 7, only of 0",
    "eval --model embedded --at 10": "--at goes with --run",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    suite = tmp_path_factory.mktemp("runs") / "suite"
    write_eval(write_run(suite, "grpo"), 60, CORRECT["grpo"])
    base = write_run(suite, "base")
    (base / "settings.yaml").write_text(dump(resolve("cpu", "base", 0, [])))
    with held(base / "lock.json"):
        pass  # as whoever wrote the run left it
    write_run(suite, "rlsd")
    file = suite.parent / "file"
    file.touch()
    return {"suite": suite, "file": file}


@pytest.mark.parametrize("words", WORDS)
def test_a_mistake_is_one_line(words: str, refused: Callable[..., str], places: dict[str, Path]) -> None:
    before = sorted(places["suite"].parent.rglob("*"))
    said = refused(*words.format(**places).split())
    assert WORDS[words].format(**places) in said
    assert sorted(places["suite"].parent.rglob("*")) == before
