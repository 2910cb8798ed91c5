"""A broken-off evaluation goes on inside a bench; several workers give what one gives; a judge comes after."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.core.child import Child
from eval.core.errors import UserError
from eval.pipeline import evaluate as run
from eval.pipeline import workers as parallel
from eval.settings import EvalSettings
from tests.e2e.test_eval import BASE, samples
from tests.support import warm
from tests.support.judge_server import NO, YES, JudgeServer, completion
from tests.support.paths import ROOT

ASKED = {"samples": 2, "limit": 12, "max_new_tokens": 64, "batch_size": 8, "temperature": 1.0, "top_p": 1.0, "top_k": 0}


def settings(**other: Any) -> EvalSettings:
    return EvalSettings.model_validate(
        {"data": "mini", "benches": ("zerobench",), "device": "cpu", "presence_penalty": 0.5, **ASKED, **other}
    )


def result_of(folder: Path) -> dict[str, Any]:
    """The stored result but for how long it took."""
    return {k: v for k, v in json.loads((folder / "result.json").read_text()).items() if k != "seconds"}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    run.evaluate(BASE, settings(), out)
    return out / "zerobench"


def _when(condition: Callable[[], bool], alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert alive(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("replies*.jsonl"))


@pytest.mark.slow
def test_a_killed_evaluation_asks_only_what_is_not_answered(
    tmp_path: Path, unbroken: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [f"eval.{key}={value}" for key, value in (settings().model_dump(mode="json", include={*ASKED})).items()]
    pairs = [
        part for change in [*changes, "eval.presence_penalty=0.5", "eval.device=cpu"] for part in ("--set", change)
    ]
    words = ["eval", "--bench", "zerobench", "--model", "embedded", "--data", "mini", "--out", str(tmp_path / "out")]
    process = warm.started(ROOT, tmp_path, *words, *pairs)
    folder = tmp_path / "out" / "zerobench"
    file = folder / "replies.jsonl"
    _when(lambda: _lines(folder) > 3, lambda: process.exitcode is None)
    process.kill()
    process.join()
    assert not (folder / "result.json").exists()
    kept = file.read_text()
    with file.open("a") as stream:
        stream.write('{"id": "torn by the ki')
    with pytest.raises(UserError, match=r"seed 0 there, 1 asked"):
        run.evaluate(BASE, settings(seed=1), folder.parent)

    asked: list[tuple[int, int]] = []
    answers = run.ask.__globals__["Question"]

    def seen(*fields: Any) -> Any:
        asked.append(fields[:2])
        return answers(*fields)

    monkeypatch.setitem(run.ask.__globals__, "Question", seen)
    run.evaluate(BASE, settings(batch_size=5), folder.parent)
    there = kept.count("\n") - 1
    assert 3 <= there < 24
    assert len(asked) == len(set(asked)) == 24 - there
    assert f"ZeroBench: {there} of 24 replies were there" in capsys.readouterr().out
    assert samples(folder) == samples(unbroken)
    assert result_of(folder) == {**result_of(unbroken), "model": result_of(folder)["model"]}
    assert sorted(path.name for path in folder.iterdir()) == ["questions.parquet", "result.json", "samples.parquet"]


@pytest.mark.slow
def test_two_workers_give_what_one_gives(tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warm_worker(job: dict[str, Any], log: Path, _: str | None) -> Child:
        """Without ten seconds of imports; the next tests start real ones."""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        process = warm.context.Process(target=parallel.work_off, args=(job,))
        process.start()
        return Child(process, log)

    monkeypatch.setattr(parallel, "_start", warm_worker)
    run.evaluate(BASE, settings(data_parallel=2), tmp_path)
    assert samples(tmp_path / "zerobench") == samples(unbroken)
    assert result_of(tmp_path / "zerobench") == result_of(unbroken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leakage.json", "zerobench"]


def test_a_worker_that_dies_ends_the_others_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[Child] = []
    start = parallel._start

    def started(job: dict[str, Any], *where: Any) -> Child:
        workers.append(start(job, *where))
        if job["worker"] == 0:
            workers[0]._process.kill()
        return workers[-1]

    monkeypatch.setattr(parallel, "_start", started)
    with pytest.raises(UserError, match=r"^a worker ended with exit code -9, see [^\n]+worker0\.log; the same command"):
        run.evaluate(BASE, settings(data_parallel=2), tmp_path)
    assert [worker.poll() for worker in workers] == [-signal.SIGKILL, -signal.SIGTERM]
    assert (tmp_path / "worker0.log").exists()


def test_a_worker_hands_its_line_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "rows.jsonl"
    row = {"question_id": "1_1", "question_text": "?", "question_images": ["a.png"], "question_answer": "5"}
    rows.write_text(json.dumps(row))
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    start = parallel._start

    def spoilt(*about: Any) -> Any:
        (tmp_path / "a.png").unlink(missing_ok=True)  # after the parent has checked it
        return start(*about)

    monkeypatch.setattr(parallel, "_start", spoilt)
    with pytest.raises(UserError, match=r"^[^\n]*has no image: a\.png[^\n]*$"):
        run.evaluate(BASE, settings(data=str(rows), data_parallel=2), tmp_path / "out")


def test_a_judge_is_asked_about_stored_replies_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = settings(samples=2, limit=3, max_new_tokens=8)
    alone = run.evaluate(BASE, few, tmp_path)["zerobench"]
    assert "judge" not in alone
    monkeypatch.setattr(run, "loaded_engine", None)  # any attempt to load a model fails
    with JudgeServer(lambda asked: completion(YES if "[BEGIN reply" in asked.prompt else NO)) as server:
        judged = few.model_copy(update={"judge": few.judge.model_copy(update={"url": server.url, "model": "stub"})})
        result = run.evaluate(BASE, judged, tmp_path)["zerobench"]
        assert (result["judge"]["score"], result["judge"]["judged"]) == (1.0, 6)
        assert {**result, "judge": None} == {**alone, "judge": None}
        assert json.loads((tmp_path / "zerobench" / "result.json").read_text()) == result
        assert "judge stub: 100.0, agrees on" in capsys.readouterr().out
        calls = len(server.asked)
        assert run.evaluate(BASE, judged, tmp_path)["zerobench"] == result
        assert len(server.asked) == calls, "it is stored"
    assert run.evaluate(BASE, few, tmp_path)["zerobench"] == result, "and stays without a judge"
    with pytest.raises(UserError, match="judge at"):
        run.evaluate(BASE, judged, tmp_path / "new")  # before any model loads
    assert not (tmp_path / "new").exists()
