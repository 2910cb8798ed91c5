"""The page: whole in one file, everything escaped."""

import re

from reports.writers.folder import build
from tests.support.report_suite import write_run


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


def test_suite_without_metrics_and_evaluation_still_reports(tmp_path):
    write_run(tmp_path / "s", "grpo", status="running", steps_done=0)
    (tmp_path / "s/grpo/seed0/metrics.jsonl").unlink()
    (tmp_path / "s/grpo/seed0/settings.yaml").unlink()
    html = build(tmp_path / "s").read_text()
    assert "grpo/seed0 has not been evaluated" in html
    assert "No run has recorded metrics" in html
    assert not (tmp_path / "s/report/figures").exists()


def test_labels_and_commands_of_others_are_escaped(tmp_path):
    run = write_run(tmp_path / "s", "mine", label="<b>M</b>", command="cli.py <img src=x>")
    (run / "metrics.jsonl").unlink()
    html = build(tmp_path / "s").read_text()
    assert "<b>M</b>" not in html
    assert "&lt;b&gt;M&lt;/b&gt;" in html
    assert "<img src=x>" not in html
