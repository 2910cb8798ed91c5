"""The report folder: page, figures, report.json, leakage examples, and how it is put in place."""

import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import reports.writers.folder
from eval.core.errors import UserError
from reports.figures.plots import PANELS, curve, drawable, lines
from reports.sections.leakage import leakage_rows
from reports.suite.read import load_suite
from reports.writers.folder import build, terminal_table
from reports.writers.json import as_json, collect
from tests.support.paths import ROOT
from tests.support.report_suite import CORRECT, write_eval, write_run, write_suite

PANEL = {panel.key: panel for panel in PANELS}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def page(suite):
    return build(suite)


def test_report_holds_every_file(page):
    assert page.name == "report.html"
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"report.html", "table2.md", "table2.tex", "table2.csv", "report.json", "figures"}
    stems = {*PANEL, "overview", "leakage_evaluated"}
    figures = {path.name for path in (page.parent / "figures").iterdir()}
    assert figures == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    assert not [path for path in page.parent.parent.iterdir() if path.name.startswith(".")]


def test_page_needs_nothing_from_elsewhere(page):
    html = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]*", "data:", page.read_text())
    assert set(re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', html)) == {"data:"}
    for outside in ("http:", "https:", "url(", "@import", "<script", "<link", "<iframe"):
        assert outside not in html


def test_replies_are_escaped_and_phrases_marked(page):
    html = page.read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; The <mark>Reference  answer</mark> is 7" in html


def test_page_says_mini_and_keeps_the_papers_numbers_apart(page):
    html = page.read_text()
    assert 'class="mini">MINI benches' in html
    ours, theirs = html.split('<div class="paper">')
    assert "60.0 ± 6.3" in ours
    assert "67.22" not in ours
    assert "67.22" in theirs
    assert "Qwen3-VL-8B-Instruct" in theirs


def test_report_json_has_the_numbers(page):
    numbers = json.loads((page.parent / "report.json").read_text())
    rlsd = numbers["table2"][5]
    assert rlsd["label"] == "RLSD"
    assert rlsd["cells"]["mmmu"]["mean"] == 0.65
    assert numbers["leakage"]["rows"][2]["mean"] == 30 / 322
    curves = numbers["dynamics"]["panels"]["lambda"]["methods"]
    assert list(curves) == ["rlsd"]
    assert curves["rlsd"]["mean"][24] == pytest.approx(25 / 100)
    assert numbers["runs"][0]["name"] == "base/seed0"
    assert numbers["warnings"] == []


def test_rebuild_is_byte_identical_in_another_process_and_loads_no_torch(suite, page, tmp_path):
    out = tmp_path / "again"
    code = (
        "import sys; from pathlib import Path; from reports.writers.folder import build\n"
        "build(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(suite), str(out)]
    # PATH is all that it inherits: neither a hash seed, nor a locale, nor a time zone may show.
    env = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "MPLCONFIGDIR": str(tmp_path / "mpl")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
    first = sorted(path.relative_to(page.parent) for path in page.parent.rglob("*") if path.is_file())
    assert first == sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    for name in first:
        assert (page.parent / name).read_bytes() == (out / name).read_bytes(), name
    assert str(suite) not in page.read_text()


def test_a_failed_rebuild_leaves_the_old_report(suite, page, monkeypatch):
    before = page.read_bytes()

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reports.writers.folder, "_files", lambda _: {"report.html": b"new"})
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(UserError, match="the disk is full"):
        build(suite)
    assert page.read_bytes() == before
    assert not [path for path in suite.iterdir() if path.name.startswith(".")]


def test_rebuild_replaces_the_old_report_whole(suite, page, monkeypatch):
    monkeypatch.setattr(reports.writers.folder, "_files", lambda _: {"report.html": b"new", "report.json": b"{}"})
    out = suite / "other"
    assert build(suite, out).read_bytes() == b"new"
    (out / "report.json").write_text(json.dumps({"kind": reports.writers.folder.REPORT_KIND}))
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


def test_suite_without_metrics_and_evaluation_still_reports(tmp_path):
    write_run(tmp_path / "s", "grpo", status="running", steps_done=0)
    (tmp_path / "s/grpo/seed0/metrics.jsonl").unlink()
    (tmp_path / "s/grpo/seed0/settings.yaml").unlink()
    html = build(tmp_path / "s").read_text()
    assert "grpo/seed0 has not been evaluated" in html
    assert "No run has recorded metrics" in html
    assert not (tmp_path / "s/report/figures").exists()


def test_report_json_is_strict_json_whatever_was_recorded(tmp_path):
    run = write_run(tmp_path / "s", "grpo")
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": NaN, "entropy": 0.5}\n')
    write_eval(run, 60, CORRECT["grpo"], scores={"loose": math.nan})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    numbers = json.loads(json.dumps(as_json(collect(tmp_path / "s")), allow_nan=False), parse_constant=refuse)
    assert numbers["runs"][0]["results"]["mmmu"]["scores"] == {"loose": None}
    assert list(numbers["dynamics"]["panels"]) == ["entropy"]


def test_labels_and_commands_of_others_are_escaped(tmp_path):
    run = write_run(tmp_path / "s", "mine", label="<b>M</b>", command="cli.py <img src=x>")
    (run / "metrics.jsonl").unlink()
    html = build(tmp_path / "s").read_text()
    assert "<b>M</b>" not in html
    assert "&lt;b&gt;M&lt;/b&gt;" in html
    assert "<img src=x>" not in html


def test_leakage_rows_pool_seeds_and_show_one_example_a_bench(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "opsd", 0), 60, CORRECT["opsd"], leaks=30)
    write_eval(write_run(suite, "opsd", 1), 60, CORRECT["opsd"], leaks=10)
    row = next(row for row in leakage_rows(load_suite(suite)) if row.method == "opsd")
    assert row.rate is not None
    assert row.rate.mean == pytest.approx((30 / 322 + 10 / 322) / 2)
    assert row.rate.seeds == 2
    # The first 30 replies leak with one seed, the first 10 with the other: 10 always, 20 once in two.
    items = np.var([1] * 10 + [0.5] * 20 + [0] * 292, ddof=1) / 322
    between = np.var([30 / 322, 10 / 322], ddof=1) / 2
    luck = np.var([1] * 20 + [0] * 302, ddof=1) / 4 / 322  # of the seeds' differences, item by item
    assert row.rate.stderr == pytest.approx(math.sqrt(items + between - luck))
    assert row.phrases == (("reference answer", 40),)
    assert [example.where for example in row.examples] == [
        "OPSD, seed 0, MMMU item mmmu-0",
        "OPSD, seed 1, MMMU item mmmu-0",
    ]


def test_long_examples_are_cut_around_the_phrase_and_cleaned(tmp_path):
    suite = tmp_path / "s"
    write_eval(write_run(suite, "opsd"), 60, CORRECT["opsd"], leaks=1)
    path = suite / "opsd/seed0/eval/60/mmmu/samples.parquet"
    frame = pd.read_parquet(path)
    frame.loc[0, "reply"] = "a" * 5000 + "\u202e reference answer \x00" + "b" * 5000
    frame.to_parquet(path)
    row = next(row for row in leakage_rows(load_suite(suite)) if row.method == "opsd")
    text = "".join(piece for piece, _ in row.examples[0].pieces)
    assert len(text) < 600
    assert "reference answer" in text
    assert text.startswith("… ")
    assert text.endswith(" …")
    assert "\u202e" not in text
    assert "\x00" not in text
    assert [piece for piece, marked in row.examples[0].pieces if marked] == ["reference answer"]


def test_mean_curve_is_over_the_steps_that_every_seed_reached(tmp_path):
    for seed, rows in ((0, [1.0, 3.0, 5.0]), (1, [3.0, 5.0])):
        run = write_run(tmp_path / "s", "rlsd", seed)
        lines_ = [json.dumps({"step": i + 1, "lambda": v}) for i, v in enumerate(rows)]
        (run / "metrics.jsonl").write_text("\n".join(lines_))
    metrics = load_suite(tmp_path / "s").metrics
    seeds, mean = curve(metrics, "rlsd", PANEL["lambda"])
    assert mean.to_dict() == {1: 2.0, 2: 4.0}
    assert seeds[0].tolist() == [1.0, 3.0, 5.0]
    assert [panel.key for panel in drawable(metrics)] == ["lambda"]


def test_a_methods_look_does_not_depend_on_the_suite():
    everything = lines(["base", "grpo", "opsd", "sdpo", "grpo_opsd", "rlsd", "mine"])
    assert lines(["rlsd", "mine"]) == {method: everything[method] for method in ("rlsd", "mine")}
    assert len({(look.colour, look.dash) for look in everything.values()}) == len(everything)


def test_terminal_table_fits_80_columns(suite):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(suite))
    text = console.export_text()
    assert "60.0±6.3" in text
    assert "9.3±1.6" in text
    assert "…" not in text
    assert "MINI benches" in text
