"""A bench that this repository does not know, registered by a program of its own, goes through every command."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from eval.benches import BENCHES
from eval.benches.bench import Bench, Groups
from eval.data.load import load
from eval.grading.extract import cut
from eval.grading.score import Row, Rule, Verdict
from eval.judge.prompt import prompt_for
from eval.pipeline.ask import build_task
from tests.support.paths import ROOT
from tests.support.report_suite import write_run
from tests.support.warm import Finished, cli

TINY = ("eval.max_new_tokens=4", "eval.batch_size=4", "eval.device=cpu", "eval.presence_penalty=0")


class Dice(Bench):
    """Two dice, a picture each; rows of local files only."""

    name = "dice"
    label = "Two Dice"
    split = "test"
    official_n = 4
    unit = "throws"
    version = "7"
    key = ("throw",)
    answer = "sum"
    pictures = ("left", "right")
    asked = ()
    graded = ("colour",)
    macro = "colour"

    def prompt(self, row: Row) -> str:
        return "<image><image>What do the dice add up to?"

    def respelt(self, row: Row) -> Row:
        return {**row, "sum": row.get("sum", row.get("total"))}

    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        text, wrapper = (reply, "none") if rule == "official" else cut(reply)[:2]
        numbers = re.findall(r"\d+", text)
        return Verdict(numbers[-1] if numbers else None, wrapper, bool(numbers), numbers[-1:] == [row["sum"]])

    def groups(self) -> Groups:
        return {"colour": lambda row: [row["colour"]]}


def _with_dice() -> None:
    """The program of somebody who registers it."""
    from cli import main

    BENCHES["dice"] = Dice()
    main()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dice")
    for name in ("left", "right"):
        Image.new("RGB", (64, 64), "white" if name == "left" else "red").save(folder / f"{name}.png")
    lines = [
        {"throw": n, "total": n + 2, "colour": colour, "left": "left.png", "right": "right.png"}
        for n, colour in enumerate(("red", "red", "red", "blue"))
    ]
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


@pytest.fixture
def dice(monkeypatch: pytest.MonkeyPatch) -> Dice:
    monkeypatch.setitem(BENCHES, "dice", Dice())
    return Dice()


def _cli(folder: Path, *words: str) -> Finished:
    done = cli(folder, *words, main=_with_dice)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def test_its_rows_its_prompt_and_what_a_judge_reads(rows: Path, dice: Dice) -> None:
    loaded = load("dice", str(rows)).rows
    assert [row["sum"] for row in loaded] == ["2", "3", "4", "5"]
    assert [picture.open().getpixel((0, 0)) for picture in dice.shown(loaded[0])] == [(255, 255, 255), (255, 0, 0)]
    task = build_task("dice", loaded)
    assert task.doc_to_text(task.eval_docs[1]) == "<image><image>What do the dice add up to?"
    assert task.doc_to_image(task.eval_docs[1]) == dice.shown(loaded[1])
    assert list(task.aggregation()) == ["score", "parsed"]
    asked = prompt_for(dice, loaded[0], "I say 3.")
    assert "[picture][picture]What do the dice" in asked and "]\n2\n[END reference answer" in asked


def test_recorded_replies_are_graded(rows: Path, tmp_path: Path) -> None:
    said = ("\\boxed{2} of 9", "3", "4", "nothing")
    lines = [json.dumps({"throw": n, "response": text}) for n, text in enumerate(said)]
    (tmp_path / "replies.jsonl").write_text("\n".join(lines))
    for rule, right in (("default", [True, True, True, False]), ("official", [False, True, True, False])):
        words = ("grade", "--bench", "dice", "--data", str(rows), "--replies", "replies.jsonl", "--rule", rule)
        assert "Two Dice (local): " in _cli(tmp_path, *words, "--out", f"{rule}.jsonl").stdout
        verdicts = [json.loads(line) for line in (tmp_path / f"{rule}.jsonl").read_text().splitlines()]
        assert [(verdict["throw"], verdict["correct"]) for verdict in verdicts] == list(enumerate(right))
    found = json.loads((tmp_path / "default.summary.json").read_text())
    assert (found["score"], found["n"], found["unit"], found["task_version"]) == (0.75, 4, "throws", "7")
    assert (found["scores"]["macro"], found["scores"]["colour/red"], found["scores"]["colour/blue"]) == (0.5, 1.0, 0.0)


@pytest.mark.slow
def test_a_model_is_evaluated_on_it_and_the_report_has_its_column(rows: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "suite", "base")
    out = run / "eval" / "0"
    words = ("eval", "--bench", "dice", "--model", "embedded", "--data", str(rows), "--out", str(out))
    done = _cli(tmp_path, *words, *(word for setting in TINY for word in ("--set", setting)))
    assert re.search(r"^Two Dice \(local\): .* over 4 throws", done.stdout, re.MULTILINE)
    result = json.loads((out / "dice" / "result.json").read_text())
    assert (result["bench"], result["n"], result["rows"], result["task_version"]) == ("dice", 4, 4, "7")
    assert list(json.loads((out / "leakage.json").read_text())["mention"]["per_bench"]) == ["dice"]
    again = _cli(tmp_path, *words, *(word for setting in TINY for word in ("--set", setting)))
    assert "nothing to do" in again.stdout
    assert "Two Dice (local): " in _cli(tmp_path, *words, "--regrade").stdout
    _cli(tmp_path, "report", "suite")
    assert "Two Dice" in (tmp_path / "suite" / "report" / "report.html").read_text()


def test_it_is_no_bench_of_ours() -> None:
    assert "dice" not in BENCHES
    assert not list((ROOT / "eval" / "tasks").glob("dice*"))
