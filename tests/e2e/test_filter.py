"""The difficulty filter on the embedded model: what it keeps, resuming after a kill, and mistakes."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from PIL import Image

import cli
import runners.data.filter
from eval.core.errors import UserError
from eval.engines.hf import TransformersEngine
from runners.data.filter import Filter, filter_rows
from runners.run.config import Settings, resolve
from tests.support import warm
from tests.support.paths import ROOT
from tests.support.training import training_rows

FEW = ("eval.max_new_tokens=40", "eval.batch_size=8")


def _asked(source: str, keep: float = 1.0, limit: int | None = 5, k: int = 2, *more: str) -> Filter:
    settings = resolve("cpu", "base", 0, [f"data.source={source}", *FEW, *more])
    return Filter(settings, k, limit, keep)


def _table(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(out).to_pylist()
    return rows


def _training(source: Path, rows: int) -> Settings:
    size = ("train.steps=1", f"train.prompts={rows}", "train.micro_batch=8", f"data.source={source}")
    return resolve("cpu", "grpo", 0, [*size])


@pytest.fixture
def chunks_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners.data.filter, "CHUNK", 2)


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every (reply, answer) that is graded; right is a reply of even length, so that rates do not hang on the model."""
    seen: list[tuple[str, str]] = []

    def judge(reply: str, answer: str) -> bool:
        seen.append((reply, answer))
        return len(reply) % 2 == 0

    monkeypatch.setattr(runners.data.filter, "is_right", judge)
    return seen


@pytest.mark.parametrize("source", ["synthetic", "synthetic-text", "synthetic-pairs"])
def test_the_kept_rows_are_training_data_again(
    tmp_path: Path, source: str, graded: list[tuple[str, str]], chunks_of_two: None
) -> None:
    out = tmp_path / "kept" / "all.parquet"
    said = filter_rows(_asked(source), out)
    assert len(graded) == 10, "five rows, two replies each"
    expected = [sum(len(reply) % 2 == 0 for reply, _ in graded[i : i + 2]) / 2 for i in range(0, 10, 2)]
    assert [row["pass_rate"] for row in _table(out)] == expected
    counts = ", ".join(f"{n}/2 right: {expected.count(n / 2)}" for n in range(3))
    assert said.startswith(f"kept 5 of 5 rows ({counts};")
    assert sorted(path.name for path in out.parent.iterdir()) == ["all.parquet"]
    ours = training_rows(resolve("cpu", "grpo", 0, [f"data.source={source}", "train.steps=1", "train.prompts=5",
                                                    "train.micro_batch=8"]))  # fmt: skip
    again = training_rows(_training(out, 5))
    for name in ("id", "prompt", "answer", "solution"):
        assert list(again[name]) == list(ours[name])
    pixels = [[[image.tobytes() for image in row["images"]] for row in rows] for rows in (again, ours)]
    assert pixels[0] == pixels[1]


def test_only_rows_up_to_the_rate_are_kept_and_the_same_seed_keeps_the_same(
    tmp_path: Path, graded: list[tuple[str, str]]
) -> None:
    filter_rows(_asked("synthetic", 1.0, 6, 3), tmp_path / "all.parquet")
    first = list(graded)
    rates = {row["id"]: row["pass_rate"] for row in _table(tmp_path / "all.parquet")}
    lowest = min(rates.values())
    graded.clear()
    filter_rows(_asked("synthetic", lowest, 6, 3), tmp_path / "hard.parquet")
    assert graded == first
    assert [row["id"] for row in _table(tmp_path / "hard.parquet")] == [
        i for i, rate in rates.items() if rate == lowest
    ]
    graded.clear()
    settings = resolve("cpu", "base", 1, ["data.source=synthetic", *FEW])
    filter_rows(Filter(settings, 3, 6, 1.0), tmp_path / "other.parquet")
    assert graded != first


def test_rollouts_of_a_row_differ_and_no_placeholder_is_sampled(
    tmp_path: Path, graded: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[int] = []
    read = TransformersEngine._reply

    def spy(engine: Any, ids: Any) -> Any:
        sampled.extend(ids)
        return read(engine, ids)

    monkeypatch.setattr(TransformersEngine, "_reply", spy)
    noise = ("eval.temperature=1000", "eval.max_new_tokens=80")  # some 1,900 tokens, drawn evenly
    filter_rows(_asked("synthetic", 1.0, 6, 4, *noise), tmp_path / "noise.parquet")
    assert len({reply for reply, _ in graded}) == 24, "every reply is noise of its own"
    fields = json.loads((ROOT / "runners" / "embedded" / "base" / "config.json").read_text())
    placeholders = {
        v for k, v in fields.items() if k.startswith(("image_", "video_", "vision_")) and isinstance(v, int)
    }
    assert len(placeholders) == 4
    assert len(set(sampled)) > 500, "nearly all of the vocabulary"
    assert not placeholders & set(sampled)


def test_a_stopped_filter_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, graded: list[tuple[str, str]], chunks_of_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filter_rows(_asked("synthetic"), tmp_path / "whole.parquet")
    whole = list(graded)
    graded.clear()
    out, noted = tmp_path / "kept.parquet", tmp_path / "kept.parquet.answers.jsonl"
    note = runners.data.filter._note

    def stop(rows: Any, replies: Any) -> Any:
        if len(graded) == 4:
            raise KeyboardInterrupt
        return note(rows, replies)

    with monkeypatch.context() as context:
        context.setattr(runners.data.filter, "_note", stop)
        with pytest.raises(KeyboardInterrupt):
            filter_rows(_asked("synthetic"), out)
    assert graded == whole[:4]
    assert not out.exists()
    assert len(noted.read_text().splitlines()) == 2, "the settings and the first chunk"
    with noted.open("a") as stream:
        stream.write('{"rows": "torn')
    with pytest.raises(UserError, match=r"belongs to other settings .*k 2 there, 3 asked"):
        filter_rows(_asked("synthetic", 1.0, 5, 3), out)
    graded.clear()
    filter_rows(_asked("synthetic"), out)
    assert graded == whole[4:]
    assert _table(out) == _table(tmp_path / "whole.parquet")
    assert filter_rows(_asked("synthetic"), out).startswith("already filtered, nothing to do")
    with pytest.raises(UserError, match=r"belongs to other settings .*keep 1\.0 there, 0\.5 asked"):
        filter_rows(_asked("synthetic", 0.5), out)


def _rows(folder: Path, *answers: Any) -> Path:
    Image.new("RGB", (64, 64), (255, 0, 0)).save(folder / "a.png")
    rows = [
        {"id": i, "question": f"{i}?", "image": "a.png" if i % 2 else None, "answer": a} for i, a in enumerate(answers)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def test_nothing_kept_writes_nothing_and_asks_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = _rows(tmp_path, "1", "2", "3"), tmp_path / "kept.parquet"
    monkeypatch.setattr(runners.data.filter, "is_right", lambda reply, answer: True)
    with pytest.raises(UserError, match=r"kept 0 of 3 rows .*raise --keep-max-pass-rate"):
        filter_rows(_asked(str(source), 0.0, None), out)
    assert not out.exists()
    monkeypatch.setattr(runners.data.filter, "is_right", lambda reply, answer: pytest.fail("asked again"))
    _rows(tmp_path, "1", "2", "another")
    with pytest.raises(UserError, match="about other rows than"):
        filter_rows(_asked(str(source), 1.0, None), out)
    _rows(tmp_path, "1", "2", "3")
    filter_rows(_asked(str(source), 1.0, None), out)
    assert [(row["answer"], row["pass_rate"], len(row["images"])) for row in _table(out)] == [
        ("1", 1.0, 0), ("2", 1.0, 1), ("3", 1.0, 0),
    ]  # fmt: skip
    assert _table(out)[1]["images"][0]["bytes"] == (tmp_path / "a.png").read_bytes(), "pictures are embedded"


def test_a_row_that_is_too_long_for_the_model_is_not_called_hard(tmp_path: Path) -> None:
    source, out = _rows(tmp_path, "1", "2"), tmp_path / "kept.parquet"
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    rows[0]["question"] = "How many? " * 3000
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "1 too long for the model" in filter_rows(_asked(str(source), 1.0, None), out)
    assert [row["id"] for row in _table(out)] == ["1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "synthetic", "--out", "kept.parquet"], "say how many rows with --limit"),
        (["--data", "synthetic", "--limit", "2", "--out", "kept.json"], "a name that ends in .parquet"),
        (["--data", "absent.jsonl", "--out", "kept.parquet"], "no such file or folder"),
        (["--data", "bad.jsonl", "--out", "kept.parquet"], "row 1 of bad.jsonl has no answer"),
        (["--limit", "2", "--model", "./nowhere", "--out", "kept.parquet"], "no such model folder"),
        (["--limit", "2", "--engine", "abacus", "--out", "kept.parquet"], "eval.engine"),
        (["--limit", "2", "--temperature", "0", "--out", "kept.parquet"], "the same reply 4 times"),
        (["--limit", "2", "--out", "mine.parquet"], "was not written by this filter"),
        (["--limit", "2", "--out", "file/kept.parquet"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_answered_in_one_line(
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"question": "How many?", "answer": null}\n')
    (tmp_path / "mine.parquet").write_text("mine")
    (tmp_path / "file").write_text("a file, not a folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cli.py", "data", "filter", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert [message in line for line in said.err.splitlines() if line.startswith("error: ")] == [True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "file", "mine.parquet"]
    assert (tmp_path / "mine.parquet").read_text() == "mine"


def _row_by_row() -> None:
    runners.data.filter.CHUNK = 1
    cli.main()


def test_the_command_line_and_a_kill(tmp_path: Path) -> None:
    """A real kill, in the middle of the second chunk or later; the same command then ends as one that was let be."""
    words = ["--limit", "6", "--k", "2", "--max-new-tokens", "60", "--keep-max-pass-rate", "1"]
    out, said = tmp_path / "out", tmp_path / "said"
    out.mkdir()
    said.mkdir()

    def command(name: str) -> list[str]:
        return ["data", "filter", *words, "--out", str(out / name)]

    noted, deadline = out / "killed.parquet.answers.jsonl", time.monotonic() + 120
    process = warm.started(ROOT, said, *command("killed.parquet"), main=_row_by_row)
    while time.monotonic() < deadline and process.exitcode is None:
        if noted.exists() and len(noted.read_text().splitlines()) >= 3:
            process.kill()
            break
        time.sleep(0.01)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = noted.read_text().splitlines()[:3]
    assert not (out / "killed.parquet").exists()
    for name in ("killed.parquet", "whole.parquet"):
        done = warm.cli(ROOT, *command(name), main=_row_by_row)
        assert done.returncode == 0, done.stderr
        assert "kept 6 of 6 rows (0/2 right: " in done.stdout
    assert len(kept) == 3
    assert _table(out / "killed.parquet") == _table(out / "whole.parquet")
    assert sorted(path.name for path in out.iterdir()) == ["killed.parquet", "whole.parquet"]
