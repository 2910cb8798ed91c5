"""leakage.json: by detector, over every bench that is there, and what a second evaluation does about it."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.benches import BENCHES
from eval.core.files import write_json
from eval.data.load import doc_hash
from eval.leakage import DETECTORS
from eval.leakage.detector import Detector
from eval.pipeline import evaluate as pipeline
from eval.pipeline import leakage
from eval.settings import EvalSettings

ECHO = Detector(
    "echo", "repeat the gold", "Whether the gold is said.", lambda reply, row: [w for w in row["gold"] if w in reply]
)


def _result(out: Path, bench: str, rows: list[dict[str, Any]], replies: list[list[str]]) -> None:
    (out / bench).mkdir(parents=True)
    write_json(out / bench / "result.json", {"leakage": leakage.search(rows, replies)})


def test_the_file_pools_benches_by_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, "echo", ECHO)
    _result(tmp_path, "mmmu", [{"gold": ["seven"]}, {"gold": ["x"]}], [["seven", "clean"], ["seven", "ground truth"]])
    _result(tmp_path, "wemath", [{"gold": ["eight"]}], [["eight", "eight"]])
    leakage.write(tmp_path)
    found = json.loads((tmp_path / "leakage.json").read_text())
    assert list(found) == [*DETECTORS]
    assert found["mention"]["rate"] == pytest.approx(1 / 6)
    assert found["mention"]["phrases"] == {"ground truth": 1}
    echo = found["echo"]
    assert (echo["label"], echo["meaning"], echo["n"], echo["rate"]) == (ECHO.label, ECHO.meaning, 6, 0.5)
    assert echo["stderr"] == pytest.approx((0.25 / 5) ** 0.5)
    assert echo["per_bench"]["mmmu"]["rate"] == 0.25
    assert echo["per_bench"]["wemath"] == {"rate": 1.0, "stderr": 0.0, "n": 2}
    assert echo["phrases"] == {"eight": 2, "seven": 1}


def test_it_is_written_only_where_it_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "leakage.json"
    path.write_text(json.dumps({"rate": 0.5, "per_bench": {}}))  # an older version's
    _result(tmp_path, "mmmu", [{}], [["clean"]])
    leakage.write(tmp_path)
    before = path.stat().st_mtime_ns
    leakage.write(tmp_path)
    assert json.loads(path.read_text())["mention"]["n"] == 1
    assert path.stat().st_mtime_ns == before
    path.write_text('{"mention": {"rate"')  # torn
    leakage.write(tmp_path)
    assert json.loads(path.read_text())["mention"]["n"] == 1


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, EvalSettings]:
    """A finished evaluation of two mini questions, the replies made up."""
    from eval.pipeline import replies
    from eval.pipeline.ask import load_work

    monkeypatch.setattr(pipeline, "check_model", lambda model: None)
    settings = EvalSettings(data="mini", benches=("mmmu",), limit=2)
    identity = pipeline.identity("mmmu", "org/model", settings)
    (work,) = load_work(settings, {"mmmu": identity}, tmp_path, False)
    for row_id, row in zip(work.ids, work.loaded.rows, strict=True):
        text = f"The reference answer is {row['answer']}."
        doc = doc_hash("mmmu", row)
        about = {"id": row_id, "sample": 0, "doc_hash": doc, "prompt_hash": "", "tokens": 5, "finish": "stop"}
        replies.append(replies.main_file(work.folder), identity, {"engine": "none"}, [{**about, "text": text}])
    pipeline.evaluate("org/model", settings, tmp_path)
    return tmp_path, settings


def test_a_detector_that_came_later_searches_the_stored_replies(
    stored: tuple[Path, EvalSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, settings = stored
    assert json.loads((out / "leakage.json").read_text())["mention"]["rate"] == 1.0
    seen: list[str] = []
    gold = Detector("gold", "say the gold", "x", lambda reply, row: seen.extend(row) or [row["answer"]])
    monkeypatch.setitem(DETECTORS, "gold", gold)
    capsys.readouterr()
    result = pipeline.evaluate("org/model", settings, out)["mmmu"]
    assert result["leakage"]["gold"]["found"] == [0, 1]
    assert "question" in seen
    assert not {*BENCHES["mmmu"].pictures} & {*seen}
    assert json.loads((out / "leakage.json").read_text())["gold"]["rate"] == 1.0
    assert "nothing to do" not in capsys.readouterr().out
    pipeline.evaluate("org/model", settings, out)
    assert "nothing to do" in capsys.readouterr().out


def test_a_result_of_an_older_version_is_searched_again(stored: tuple[Path, EvalSettings]) -> None:
    out, settings = stored
    path = out / "mmmu" / "result.json"
    now, whole = json.loads(path.read_text()), (out / "leakage.json").read_text()
    path.write_text(json.dumps({k: v for k, v in now.items() if k != "leakage"} | {"mentions": 1.0}))
    (out / "leakage.json").write_text('{"rate": 1.0, "per_bench": {"mmmu": {}}, "phrases": {}}')
    pipeline.evaluate("org/model", settings, out)
    assert (out / "leakage.json").read_text() == whole
