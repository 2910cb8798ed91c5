"""Recorded and stored replies graded without a model: `cli.py grade` and `cli.py eval --regrade`."""

import gzip
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from eval.benches import BENCHES, VERSION
from eval.core.errors import UserError
from eval.data.load import doc_hash, load
from eval.grading.score import Row
from eval.pipeline import results
from eval.pipeline.grade_file import grade_replies
from eval.pipeline.regrade import regrade
from runners.run.run_dir import RunDir
from tests.support.helpers import small
from tests.support.paths import ROOT, SHARED

DATA = SHARED / "bench-data"
recorded = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/bench-data")

VISION = [{"id": str(i), "options": [], "answer": str(i), "level": 1, "subject": "algebra"} for i in range(1, 4)]


def _lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def _read(path: Path) -> list[Row]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        return [json.loads(line) for line in stream]


def _grade(folder: Path, bench: str, rows: list[Any], replies: list[Any], rule: Any = "official") -> Any:
    """The lines of OUT and the summary."""
    data, given = _lines(folder / "rows.jsonl", rows), _lines(folder / "replies.jsonl", replies)
    grade_replies(bench, str(data), given, rule, folder / "out.jsonl")
    return _read(folder / "out.jsonl"), json.loads((folder / "out.summary.json").read_text())


def _cli(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_samples_are_graded_in_the_order_of_the_lines(tmp_path: Path) -> None:
    said = [("2", "is 2"), ("1", "\\boxed{1}"), ("1", None), ("2", "2")]
    replies = [{"id": i, "response": text, "answer": "never read", "correct": True} for i, text in said]
    out, summary = _grade(tmp_path, "mathvision", VISION, replies)
    assert out == [
        {"id": "2", "sample": 0, "extracted": "2", "wrapper": "none", "parsed": True, "correct": True},
        {"id": "1", "sample": 0, "extracted": "1", "wrapper": "none", "parsed": True, "correct": True},
        {"id": "1", "sample": 1, "extracted": None, "wrapper": "none", "parsed": False, "correct": False},
        {"id": "2", "sample": 1, "extracted": "2", "wrapper": "none", "parsed": True, "correct": True},
    ]
    assert {k: summary[k] for k in ("bench", "edition", "rule", "grader_version", "score", "n", "samples")} == {
        "bench": "mathvision", "edition": "local", "rule": "official", "grader_version": VERSION, "score": 0.75,
        "n": 2, "samples": 2,
    }  # fmt: skip
    assert (summary["replies"], summary["missing_rows"], summary["parsed"]) == (4, 1, 0.75)
    assert (summary["scores"]["pass@2"], summary["scores"]["pass^2"]) == (1.0, 0.5)


def test_mathvista_reads_the_extraction_under_the_official_rule(tmp_path: Path) -> None:
    row = {"pid": "7", "question_type": "free_form", "answer_type": "integer", "answer": "14"}
    reply = {"pid": 7, "response": "<answer>15</answer>", "extraction": 14.9}
    out, _ = _grade(tmp_path, "mathvista", [row], [reply])
    assert out == [{"pid": 7, "extracted": "14", "wrapper": "none", "parsed": True, "correct": True}]
    out, _ = _grade(tmp_path, "mathvista", [row], [reply], "default")
    assert out == [{"pid": 7, "extracted": "15", "wrapper": "tag", "parsed": True, "correct": False}]


def test_wemath_gives_strict_and_loose_and_knows_the_first_editions_spelling(tmp_path: Path) -> None:
    keys = ("3steps_1", "3steps_2", "3steps_3", "3steps_multi")
    rows = [{"ID": "3steps_1", "key": key, "answer": "A"} for key in keys]
    replies = [
        {"ID": "3stpes_1", "key": key, "response": f"Answer: {letter}"}
        for key, letter in zip(keys, "ABAA", strict=True)
    ]
    out, summary = _grade(tmp_path, "wemath", rows, replies)
    assert [(line["ID"], line["key"], line["correct"]) for line in out] == [
        ("3stpes_1", key, right) for key, right in zip(keys, (True, False, True, True), strict=True)
    ]
    counts = {"CM": 0, "IG": 0, "RM": 1, "IK": 0, "IK_rate": 0.0, "IG_rate": 0.0, "CM_rate": 0.0, "RM_rate": 1.0}
    assert summary["strict"] == {"score": 0.0, **counts}
    assert summary["loose"] == {"score": 1.0, **counts, "CM": 1, "RM": 0, "CM_rate": 1.0, "RM_rate": 0.0}
    assert (summary["score"], summary["n"]) == (0.0, 1)


def test_zerobench_snippets_bring_their_gold(tmp_path: Path) -> None:
    replies = [
        {"mathv_id": name, "ground_truth": "5", "response": said} for name, said in (("8", "{5}"), ("9", "{ 5 }"))
    ]
    out, summary = _grade(tmp_path, "zerobench", replies, replies)
    assert out == [
        {"mathv_id": "8", "extracted": "5", "wrapper": "none", "parsed": True, "correct": True},
        {"mathv_id": "9", "extracted": " 5 ", "wrapper": "none", "parsed": True, "correct": False},
    ]
    assert (summary["score"], summary["n"], summary["edition"]) == (0.5, 2, "local")


@recorded
@pytest.mark.parametrize(
    ("bench", "file", "verdict", "score"),
    [
        ("mmmu", "qwen_vl_10subjects", "official_correct", None),
        ("mathvista", "chatgpt", "head_true_false", 0.235),
        ("mathvision", "LLaVA_v1.5_13B", "rerun_correct", 338 / 3040),
        ("wemath", "ursa_8b_half_a", "official_joker", (68 + 29 / 2) / 262),
    ],
)
def test_recorded_replies_get_the_official_verdicts(
    bench: str, file: str, verdict: str, score: float | None, tmp_path: Path
) -> None:
    [rows] = (DATA / bench).glob("annotations_*.jsonl.gz")
    replies, out = DATA / bench / "dev" / f"{file}.jsonl.gz", tmp_path / "out.jsonl"
    grade_replies(bench, str(rows), replies, "official", out)
    told = _read(replies)
    graded = _read(out)
    for reply, line in zip(told, graded, strict=True):
        assert [str(line[name]) for name in BENCHES[bench].key] == [str(reply[name]) for name in BENCHES[bench].key]
        assert line["correct"] == reply[verdict] or reply.get("official_random_fallback")
    summary = json.loads((tmp_path / "out.summary.json").read_text())
    if score is not None:
        assert summary["score"] == pytest.approx(score)
    assert summary["replies"] == len(told)


def test_it_starts_in_seconds_and_without_the_heavy_libraries(tmp_path: Path) -> None:
    rows = _lines(tmp_path / "rows.jsonl", VISION)
    replies = _lines(tmp_path / "replies.jsonl", [{"id": "1", "response": "1"}])
    words = ["grade", "--bench", "mathvision", "--data", str(rows), "--replies", str(replies), "--out", "out.jsonl"]
    code = (
        f"import sys, atexit; sys.argv = {['cli.py', *words]}; atexit.register(lambda: print(*sys.modules)); "
        "import cli; cli.main()"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    line, modules = done.stdout.splitlines()
    assert line.startswith("MathVision (local): 100.0 over 1 questions, 100 % parsed, default rule, 2 rows without")
    assert line.endswith("out.jsonl, out.summary.json")
    assert not {"torch", "pandas", "datasets", "transformers", "lm_eval", "pyarrow"} & set(modules.split())
    assert seconds < 3


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([], "holds no reply"),
        ([{"id": "1", "response": "1"}, '{"id": "2", "resp'], "line 2"),
        ([{"id": "1", "reply": "1"}], "row 1: has no response"),
        ([{"response": "1"}], "row 1: has no id"),
        ([{"id": "1", "response": "1"}, {"id": None, "response": "1"}], "row 2: has no id"),
        ([{"id": "1", "response": 1}], "its response is int"),
        ([{"id": "77", "response": "1"}], "has no row 77"),
        ([{"id": i, "response": "1"} for i in "112"], "holds 2 replies to 1, but 1 to 2"),
        (["[1]"], "each row must be a JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_replies_are_one_line_and_leave_nothing(tmp_path: Path, replies: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _grade(tmp_path, "mathvision", VISION, replies)
    assert "\n" not in str(caught.value)
    assert {file.name for file in tmp_path.iterdir()} == {"rows.jsonl", "replies.jsonl"}


def test_what_cannot_be_graded_as_asked_is_named(tmp_path: Path) -> None:
    vista = {"pid": "7", "question_type": "free_form", "answer_type": "integer", "answer": "14"}
    with pytest.raises(UserError, match="has no extraction"):
        _grade(tmp_path, "mathvista", [vista], [{"pid": "7", "response": "14"}])
    part = {"ID": "2steps_1", "key": "2steps_1"}
    whole = [{**part, "key": f"2steps_{k}", "answer": "A"} for k in ("1", "2", "multi")]
    with pytest.raises(UserError, match="2steps_1 lacks 2steps_2, 2steps_multi"):
        _grade(tmp_path, "wemath", whole, [{**part, "response": "A"}])
    snippet = {"mathv_id": "1", "response": "{5}"}
    for replies, message in (
        ([snippet], "has no ground_truth"),
        ([{**snippet, "ground_truth": gold} for gold in "56"], "its ground_truth is not that"),
    ):
        with pytest.raises(UserError, match=message):
            _grade(tmp_path, "zerobench", replies, replies)
    replies = _lines(tmp_path / "replies.jsonl", [{"id": "1", "response": "1"}])
    rows = _lines(tmp_path / "rows.jsonl", VISION)
    for out, message in ((tmp_path, "is a folder"), (replies, "would replace"), (rows / "out", "cannot be written")):
        with pytest.raises(UserError, match=message):
            grade_replies("mathvision", str(rows), replies, "default", out)
    assert {file.name for file in tmp_path.iterdir()} == {"rows.jsonl", "replies.jsonl"}


def test_mistakes_at_the_command_line_exit_2_in_one_line(tmp_path: Path) -> None:
    right = {"--bench": "mathvision", "--data": "mini", "--replies": "none.jsonl", "--rule": "default", "--out": "o"}
    for change, message in (
        ({"--bench": "mmlu"}, "unknown bench 'mmlu'"),
        ({"--rule": "strict"}, "unknown rule 'strict'"),
        ({}, "none.jsonl: no such file"),
    ):
        words = [word for pair in (right | change).items() for word in pair]
        done = _cli("grade", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        assert line.startswith("error: ") and message in line
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_leaves_the_old_files(tmp_path: Path) -> None:
    rows = _lines(tmp_path / "rows.jsonl", VISION)
    replies = _lines(tmp_path / "replies.jsonl", [{"id": "1", "response": "1"}])
    for name in ("out.jsonl", "out.summary.json"):
        (tmp_path / name).write_text("old")
    done = _cli(
        *("grade", "--bench", "mathvision", "--data", str(rows), "--replies", str(replies), "--out", "out.jsonl"),
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),  # the summary is longer
    )
    assert done.returncode == 2
    assert done.stderr == "error: out.jsonl: cannot be written (File too large); choose another --out\n"
    assert {f.name for f in tmp_path.iterdir()} == {"rows.jsonl", "replies.jsonl", "out.jsonl", "out.summary.json"}
    assert {(tmp_path / name).read_text() for name in ("out.jsonl", "out.summary.json")} == {"old"}


# --- stored replies -----------------------------------------------------------------------------------------------


def _store(folder: Path, data: str = "mini", edition: str = "mini") -> dict[str, Any]:
    """A stored evaluation of an older grader, which found every reply wrong: two samples, of which one is right."""
    rows = load("mathvision", data, limit=3).rows
    samples = [
        {
            "id": row["id"], "sample": sample, "doc_hash": doc_hash("mathvision", row), "prompt_hash": "p",
            "cluster": row["id"], "reply": f"\\boxed{{{row['answer'] if sample else 'none'}}}", "extracted": "old",
            "wrapper": "plain", "parsed": False, "correct": False, "tokens": 5, "finish": "stop",
        }
        for row in rows
        for sample in range(2)
    ]  # fmt: skip
    versions = {"task_version": "0", "grader_version": "0"}
    identity = {"data": edition, "limit": 3, "split": "test", "samples": 2, "model_id": "m", **versions}
    result = {
        "bench": "mathvision", "edition": edition, "score": 0.0, "stderr": 0.0, "n": 3, "unit": "questions",
        "samples": 2, "scores": {"correct": 0}, "parsed": 0.0, "skipped_rows": 0, "truncated": 0.25, "tokens": 5.0,
        "rule": "default", **versions, "identity": identity, "judge": {"score": 1.0, "agreement": 0.0},
    }  # fmt: skip
    results.write_bench(folder / "mathvision", result, samples)
    return result


def test_regrading_changes_verdicts_and_scores_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = _store(tmp_path)
    before = results.read_samples(tmp_path / "mathvision")
    regrade(tmp_path, ["mathvision", "wemath"], "hub")
    told = capsys.readouterr().out.splitlines()
    assert "50.0" in told[0] and "it was 0.0, 3 of 6 verdicts changed (grader version 0" in told[0]
    assert told[1].endswith(": wemath")
    new = results.read_result(tmp_path / "mathvision")
    assert new is not None
    assert (new["score"], new["scores"]["pass@2"], new["scores"]["pass^2"], new["parsed"]) == (0.5, 1.0, 0.0, 1.0)
    versions = {"task_version": BENCHES["mathvision"].version, "grader_version": VERSION}
    assert new["identity"] == {**old["identity"], **versions}
    assert (new["regraded"], new["truncated"], new["tokens"]) == (True, 0.25, 5.0)
    assert "judge" not in new
    leaks = json.loads((tmp_path / "leakage.json").read_text())
    assert new["leakage"]["skipped"]["found"] == [*range(6)], "each reply is a box alone"
    assert (leaks["skipped"]["rate"], leaks["mention"]["rate"]) == (1.0, 0.0)
    after = results.read_samples(tmp_path / "mathvision")
    assert [s["correct"] for s in after] == [False, True] * 3
    assert {s["wrapper"] for s in after} == {"boxed"}
    for name in ("id", "sample", "doc_hash", "prompt_hash", "cluster", "reply", "tokens", "finish"):
        assert [s[name] for s in after] == [s[name] for s in before], name
    results.write_bench(tmp_path / "mathvision", new | {"leakage": {"skipped": {"found": [1]}}}, after)
    regrade(tmp_path, ["mathvision"], "hub")
    told = capsys.readouterr().out
    assert "0 of 6 verdicts changed" in told and told.endswith("; skipped: 6 found, it was 1\n")


def test_regrading_refuses_other_rows_and_changes_nothing(tmp_path: Path) -> None:
    _store(tmp_path / "mine")
    folder = tmp_path / "mine" / "mathvision"
    samples = results.read_samples(folder)
    result = results.read_result(folder)
    assert result is not None
    results.write_bench(folder, result, [{**s, "doc_hash": "another"} for s in samples])
    content = [(folder / name).read_bytes() for name in ("result.json", "samples.parquet")]
    with pytest.raises(UserError, match="its replies are to other rows"):
        regrade(tmp_path / "mine", ["mathvision"], "hub")
    assert [(folder / name).read_bytes() for name in ("result.json", "samples.parquet")] == content
    with pytest.raises(UserError, match="holds no evaluation of mmmu"):
        regrade(tmp_path / "mine", ["mmmu"], "hub")
    _store(tmp_path / "local", edition="local")
    with pytest.raises(UserError, match="came from a local file; name it with --data"):
        regrade(tmp_path / "local", ["mathvision"], "hub")


def test_the_command_regrades_what_eval_stored(tmp_path: Path) -> None:
    _store(tmp_path)
    done = _cli("eval", "--bench", "mathvision", "--model", "embedded", "--out", str(tmp_path), "--regrade")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 of 6 verdicts changed" in done.stdout
    result = results.read_result(tmp_path / "mathvision")
    assert result is not None and result["score"] == 0.5


def test_all_evaluated_steps_of_a_run_are_regraded_without_its_weights(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "s" / "grpo" / "seed0")
    run.open(small("grpo", "train.steps=5", "eval.every=2"), "GRPO", "s", "embedded")
    run.update(status="done")
    words = ("eval", "--run", str(run.path), "--bench", "mathvision", "--regrade")
    done = _cli(*words)
    assert (done.returncode, done.stderr) == (2, f"error: {run.path} is not evaluated: cli.py eval --run {run.path}\n")
    for step in (2, 4, 5):
        _store(run.path / "eval" / str(step))
    done = _cli(*words, "--at", "3")
    assert done.stderr == (
        f"error: {run.path} has no evaluation of step 3, only of 2, 4, 5: evaluate it (cli.py eval --run)\n"
    )
    scores = lambda: [json.loads(file.read_text())["score"] for file in run.results()]  # noqa: E731
    assert _cli(*words, "--at", "4").returncode == 0
    assert scores() == [0.0, 0.5, 0.0]
    done = _cli(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("step")] == ["step 2:", "step 4:", "step 5:"]
    assert scores() == [0.5, 0.5, 0.5]
    assert all((run.path / "eval" / str(step) / "README.md").exists() for step in (2, 4, 5))
