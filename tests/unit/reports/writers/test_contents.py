"""What is added from outside, a section or a bench, shows in every format without an edit of the report."""

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from eval.benches import BENCHES
from eval.benches.mmmu import MMMU
from reports.figures.intervals import Intervals, Line
from reports.figures.looks import looks
from reports.findings.table import Column, Row, Table
from reports.sections import SECTIONS
from reports.sections.section import Section
from reports.stats.estimate import Estimate
from reports.suite import paper
from reports.suite.rows import row_labels
from reports.writers.contents import collect
from reports.writers.folder import write
from reports.writers.terminal import terminal_table
from tests.support.report_suite import build, result, write_json, write_suite

HALF = Estimate(0.5, 0.125, 8, 1)
HALVES = Section(
    key="halves",
    title="Halves",
    compute=lambda suite: row_labels(suite) if len(suite.runs) > 1 else None,
    html="<p>{{ data | length }} halves of {{ data.mine }}</p>",
    json=lambda data: {"halves": list(data)},
    tables=lambda data: [
        Table("All the same", (Column("half", "Half", help="Half: it is."),), tuple(_rows(data)), of=("what", "share"))
    ],
    figures=lambda data: {"../halves": Intervals((("All", (Line("Base", looks(["base"])["base"], HALF),)),), "a half")},
)


class Sixth(MMMU):
    name, label = "sixth", "Sixth_Bench"


def _rows(labels):
    return [Row(method, label, {"half": HALF}) for method, label in labels.items()]


def _terminal(contents):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table(contents))
    return console.export_text()


def test_keys_and_json_parts_are_unique(suite):
    assert [section.key for section in SECTIONS.values()] == list(SECTIONS)
    parts = [name for section, data in collect(suite).sections for name in section.json(data)]
    assert len(parts) == len(set(parts))


def test_a_section_from_outside_is_in_every_format(tmp_path, monkeypatch):
    monkeypatch.setitem(SECTIONS, "halves", HALVES)
    suite = write_suite(tmp_path / "demo")
    path = suite / "grpo/seed0/run.json"
    mine = json.loads(path.read_text()) | {"method": "mine", "label": "<i>"}
    path.write_text(json.dumps(mine))
    contents = collect(suite)
    page = write(contents, suite / "report")
    assert "<p>6 halves of &lt;i&gt;</p>" in page.read_text()
    assert '<h2 id="halves-title">Halves</h2>' in page.read_text()
    assert json.loads((page.parent / "report.json").read_text())["halves"][-1] == "mine"
    assert "| RLSD | 50.0 ± 12.5 |" in (page.parent / "halves.md").read_text()
    assert r"RLSD & 50.0 $\pm$ 12.5 \\" in (page.parent / "halves.tex").read_text()
    (first, *_) = csv.DictReader((page.parent / "halves.csv").open())
    assert (first["what"], first["share"], first["stderr"], first["n"]) == ("half", "0.500000", "0.125000", "8")
    assert (page.parent / "figures/___halves.svg").exists()
    assert "50.0±12.5" in _terminal(contents)
    write(contents, suite / "report")  # its files are a report's


def test_a_section_that_does_not_apply_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setitem(SECTIONS, "halves", replace(HALVES, compute=lambda suite: None))
    page = build(write_suite(tmp_path / "demo"))
    assert "Halves" not in page.read_text()
    assert not list(page.parent.glob("halves*"))


def test_a_sixth_bench_is_a_column_everywhere(tmp_path, monkeypatch):
    suite = write_suite(tmp_path / "demo")
    monkeypatch.setitem(BENCHES, "sixth", Sixth())
    for run in suite.glob("*/seed0/eval/*"):
        write_json(run / "sixth/result.json", result("mmmu", 33))
    contents = collect(suite)
    page = write(contents, suite / "report")
    assert "Sixth_Bench" in page.read_text()
    assert "| Sixth_Bench mini | Average mini |" in (page.parent / "table2.md").read_text()
    assert r"Sixth\_Bench\\mini" in (page.parent / "table2.tex").read_text()
    rows = list(csv.DictReader((page.parent / "table2.csv").open()))
    assert {row["score"] for row in rows if row["bench"] == "sixth"} == {"0.550000"}
    cells = json.loads((page.parent / "report.json").read_text())["table2"][1]["cells"]
    assert cells["sixth"]["mean"] == 0.55
    assert cells["average"]["mean"] == pytest.approx((36 / 60 + 40 / 64 + 25 / 50 + 6 / 40 + 18 / 36 + 0.55) / 6)
    assert len([row for row in rows if row["source"] == "paper"]) == 6 * len(paper.COLUMNS)
    assert "Sixth_Bench" in _terminal(contents)
