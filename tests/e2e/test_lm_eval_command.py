"""lm-eval's own command runs our five tasks and grades as we do."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from eval.benches import BENCHES
from eval.benches.summary import grade_all, summary
from eval.data.load import load_text
from eval.tasks.config import dataset, process_results, score
from tests.support.paths import ROOT
from tests.support.warm import cli

pytestmark = pytest.mark.slow
METRICS = {name: {"score", "parsed"} | ({"loose"} if name == "wemath" else set()) for name in BENCHES}
VISTA, WE = BENCHES["mathvista"], BENCHES["wemath"]


def _lm_eval() -> None:
    from lm_eval.tasks import TaskManager

    whole = TaskManager.__init__  # reads its own 14,000 tasks, too: half a minute
    TaskManager.__init__ = lambda self, **given: whole(self, **given, include_defaults=False)
    runpy.run_module("lm_eval", run_name="__main__", alter_sys=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """One run of all five on four mini rows each (We-Math: one problem of three): its output and its files."""
    folder = tmp_path_factory.mktemp("lm_eval")
    command = [
        *("run", "--include_path", str(ROOT / "eval" / "tasks")),
        *("--tasks", ",".join(BENCHES), "--model", "hf-multimodal", "--device", "cpu", "--batch_size", "8"),
        *(
            "--model_args",
            f"pretrained={ROOT / 'runners/embedded/base'},dtype=float32",
            "--apply_chat_template",
        ),
        *("--metadata", '{"data": "mini", "limit": 4}', "--gen_kwargs", "max_gen_toks=16,do_sample=False"),
        *("--log_samples", "--output_path", str(folder)),
    ]
    done = cli(folder, *command, main=_lm_eval)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, folder


def test_its_table_holds_our_metrics_for_all_five(run: tuple[str, Path]) -> None:
    printed, folder = run
    (file,) = folder.rglob("results_*.json")
    results = json.loads(file.read_text())["results"]
    found = {bench: {key.partition(",")[0] for key in results[bench] if key.endswith(",none")} for bench in results}
    assert {bench: {m for m in found[bench] if "stderr" not in m} for bench in found} == METRICS
    for bench in BENCHES:
        assert re.search(rf"^\|{bench} *\|", printed, re.MULTILINE)
        assert results[bench]["sample_len"] == (3 if bench == "wemath" else 4)


@pytest.mark.parametrize("bench", BENCHES)
def test_its_verdicts_are_our_verdicts(run: tuple[str, Path], bench: str) -> None:
    _, folder = run
    (file,) = folder.rglob(f"samples_{bench}_*.jsonl")
    samples = sorted(map(json.loads, file.read_text().splitlines()), key=lambda sample: sample["doc_id"])
    rows = load_text(bench, "mini")[: len(samples)]
    verdicts = grade_all(BENCHES[bench], rows, [sample["resps"][0] for sample in samples], "default")
    assert [sample["score"][1] for sample in samples] == [list(one) for (one,) in verdicts]
    (results,) = folder.rglob("results_*.json")
    expected = summary(BENCHES[bench], rows, verdicts)
    stored = json.loads(results.read_text())["results"][bench]
    assert (stored["score,none"], stored["parsed,none"]) == (expected["score"], expected["parsed"])
    assert all(sample["arguments"]["gen_args_0"]["arg_0"].count("<|image_pad|>") == 1 for sample in samples)
    assert "<PIL" not in file.read_text()  # pictures are named by content


def test_what_a_user_can_mend_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = dataset(WE, data="mini")["test"]
    graded = [process_results(WE, row, ["<answer>A</answer>"])["score"] for row in rows[:2]]
    with pytest.raises(SystemExit) as stop:  # lm-eval's --limit 2 cuts through a problem
        score(WE, "score", graded)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: We-Math problem mini_2steps_1 lacks 2steps_multi")
    assert "--metadata" in said
    with pytest.raises(SystemExit):
        dataset(VISTA, data="mini", split="test")
    assert capsys.readouterr().err == "error: mathvista: the mini edition has no split test; it has testmini\n"


def test_a_row_without_gold_is_not_wrong() -> None:
    row = {**dataset(VISTA, data="mini")["test"][0], "answer": None}
    graded = process_results(VISTA, row, ["<answer>A</answer>"])["score"]
    assert graded[1].correct is None
    assert str(score(VISTA, "score", [graded])) == "nan"
