"""The report's folder: what it holds, and how it is put in place."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import reports.writers.contents
import reports.writers.folder
from eval.core.errors import UserError
from reports.writers.contents import collect
from reports.writers.folder import REPORT_KIND, report_json
from tests.support.paths import ROOT
from tests.support.report_suite import CORRECT, build, write_eval, write_run


def test_report_holds_every_file(page):
    assert page.name == "report.html"
    names = {path.name for path in page.parent.iterdir()}
    tables = {f"{key}.{kind}" for key in ("table2", "leakage", "differences") for kind in ("md", "tex", "csv")}
    assert names == {"report.html", "report.json", "seeds.csv", "figures", *tables}
    stems = {"reward", "entropy", "length", "leakage", "lambda", "clip_rate", "gap", "truncated"}
    stems |= {"leakage_evaluated_mention", "leakage_and_score_mention", "differences"}
    stems |= {"held_out_accuracy", "held_out_leakage_mention"}
    figures = {path.name for path in (page.parent / "figures").iterdir()}
    assert figures == {f"{stem}.svg" for stem in stems}
    assert not [path for path in page.parent.parent.iterdir() if path.name.startswith(".")]


def test_rebuild_is_byte_identical_in_another_process_and_loads_no_torch(suite, page, tmp_path):
    out = tmp_path / "again"
    code = (
        "import sys; from pathlib import Path; from reports.writers import contents, folder\n"
        "folder.write(contents.collect(Path(sys.argv[1])), Path(sys.argv[2]))\n"
        "print([m for m in ('torch', 'transformers', 'trl', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(suite), str(out)]
    # PATH is all that it inherits: neither a hash seed, nor a locale, nor a time zone may show.
    env = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
    first = sorted(path.relative_to(page.parent) for path in page.parent.rglob("*") if path.is_file())
    assert first == sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    for name in first:
        assert (page.parent / name).read_bytes() == (out / name).read_bytes(), name
    assert str(suite) not in page.read_text()


@pytest.fixture
def quick(monkeypatch):
    """Of a report no more than its folder."""
    monkeypatch.setattr(reports.writers.contents, "collect", lambda _: None)
    monkeypatch.setattr(reports.writers.folder, "_files", lambda _: {"report.html": b"new", "report.json": b"{}"})


@pytest.mark.usefixtures("quick")
def test_a_failed_rebuild_leaves_the_old_report(suite, page, monkeypatch):
    before = page.read_bytes()

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(UserError, match="the disk is full"):
        build(suite)
    assert page.read_bytes() == before
    assert not [path for path in suite.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("quick")
def test_rebuild_replaces_the_old_report_whole(suite, tmp_path, monkeypatch):
    out = tmp_path / "other"
    assert build(suite, out).read_bytes() == b"new"
    (out / "report.json").write_text(json.dumps({"kind": REPORT_KIND}))
    monkeypatch.setattr(reports.writers.folder, "_files", lambda _: {"report.html": b"newer"})
    build(suite, out)
    assert [path.name for path in out.iterdir()] == ["report.html"]
    assert (out / "report.html").read_bytes() == b"newer"


@pytest.mark.parametrize("name", ["thesis.txt", "report.html"])
def test_foreign_folder_is_left_alone(suite, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="choose another --out"):
        build(suite, tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError, match="is a file"):
        build(suite, tmp_path / name)


def test_report_json_has_the_numbers(page):
    numbers = json.loads((page.parent / "report.json").read_text())
    rlsd = numbers["table2"][5]
    assert rlsd["label"] == "RLSD"
    assert rlsd["cells"]["mmmu"]["mean"] == 0.65
    assert numbers["leakage"]["mention"]["rows"][2]["rate"]["mean"] == 30 / 322
    curves = numbers["dynamics"]["panels"]["lambda"]["methods"]
    assert list(curves) == ["rlsd"]
    assert curves["rlsd"]["mean"][24] == pytest.approx(25 / 100)
    assert numbers["runs"][0]["name"] == "base/seed0"
    assert numbers["warnings"] == []


def test_report_json_is_strict_json_whatever_was_recorded(tmp_path):
    run = write_run(tmp_path / "s", "grpo")
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": NaN, "entropy": 0.5}\n')
    write_eval(run, 60, CORRECT["grpo"], scores={"loose": math.nan})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    numbers = json.loads(report_json(collect(tmp_path / "s")), parse_constant=refuse)
    assert numbers["runs"][0]["results"]["mmmu"]["scores"] == {"loose": None}
    assert list(numbers["dynamics"]["panels"]) == ["entropy"]
