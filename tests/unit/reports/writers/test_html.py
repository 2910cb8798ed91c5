"""The page: whole in one file, everything escaped, and fit for keyboards, readers and both colour schemes."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from reports.sections import SECTIONS
from reports.writers import html as writer
from tests.support.contrast import contrast
from tests.support.report_suite import build, write_run, write_suite

VOID = {"meta", "img", "br", "link", "input"}


class Tree(HTMLParser):
    """Every tag with its attributes and the tags that it stands in; raises where tags do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def of(self, tag):
        return [attrs for name, attrs, _ in self.tags if name == tag]


@pytest.fixture(scope="module")
def tree(page):
    return Tree(page.read_text())


def test_page_needs_nothing_from_elsewhere(page, tree):
    links = {attrs[name] for _, attrs, _ in tree.tags for name in ("src", "href") if name in attrs}
    assert {link for link in links if not link.startswith(("#", "data:image/jpeg;base64,"))} == set()
    html = page.read_text()
    for outside in ("http:", "https:", "url(", "@import", "<link", "<iframe", "fetch(", "XMLHttp"):
        assert outside not in html.replace("http://www.w3.org", "")
    assert len(tree.of("script")) == 1


def test_replies_are_escaped_and_phrases_marked(page):
    html = page.read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; The <mark>Reference  answer</mark> is 7" in html


def test_landmarks_headings_and_contents(tree):
    assert [len(tree.of(tag)) for tag in ("main", "nav", "header", "h1")] == [1, 1, 1, 1]
    ids = [attrs["id"] for _, attrs, _ in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"] for attrs in tree.of("a")]
    assert {target[1:] for target in targets} <= set(ids)
    assert [f"#{key}" for key, section in SECTIONS.items() if f"{key}-title" in ids] == targets[
        1 : targets.index("#runs") + 1
    ]
    levels = [int(tag[1]) for tag, _, _ in tree.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_pictures_and_controls_say_what_they_are(page, tree):
    assert {attrs.get("scope") for attrs in tree.of("th")} == {"col", "row"}
    assert len(tree.of("caption")) == len(tree.of("table"))
    scrolled = [attrs for attrs in tree.of("div") if (attrs.get("class") or "").startswith("scroll")]
    assert len(scrolled) == len(tree.of("table"))
    assert all(attrs["tabindex"] == "0" and attrs["role"] == "region" for attrs in scrolled)
    names = [attrs["aria-label"] for attrs in scrolled] + re.findall(r"<h2 [^>]*>(.*?)</h2>", page.read_text())
    assert len(names) == len(set(names)), "a landmark's name is its own"
    assert all(attrs["aria-labelledby"] == f"{attrs['id']}-title" for attrs in tree.of("section"))
    assert all(attrs.get("alt") for attrs in tree.of("img"))
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for attrs in tree.of("svg"))
    assert all("label" in inside for tag, _, inside in tree.tags if tag == "select")


def test_text_is_read_on_every_background_in_light_and_dark():
    """WCAG 1.4.3: a contrast of 4.5."""
    css = (writer.HERE / "page.css").read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root {(.*?)}", css, re.S))
    for scheme in (light, light | dark):
        for text, backs in {
            "ink": ("paper", "shade", "warn", "loud-back", "best", "mark", "hot"),
            "soft": ("paper", "shade", "best"),
            "link": ("paper", "shade"),
            "loud": ("paper",),
        }.items():
            for back in backs:
                assert contrast(scheme[text], scheme[back]) >= 4.5, (text, back)
    assert light.keys() == dark.keys()


def test_probes_and_localisation_stand_with_what_they_mean(page):
    html = page.read_text()
    assert '<th scope="col">Canary exposure, bits</th>' in html
    assert '<th scope="row">OPSD</th><td>2.50 ± 0.25<span class="count">n = 8</span></td><td>−0.12<' in html
    assert "<strong>Canary exposure</strong>: How far up." in html
    assert '<th scope="row">RLSD, by RLSD at step 60</th><td>0.75 ± 0.05<span class="count">n = 14</span>' in html
    assert '<th scope="row">mine, by RLSD at step 60</th>' in html


def test_page_says_mini_and_keeps_the_papers_numbers_apart(page):
    html = page.read_text()
    assert 'class="mini">MINI benches' in html
    ours, theirs = html.split('<div class="paper">')
    assert "60.0 ± 6.3" in ours
    assert "67.22" not in ours
    assert "67.22" in theirs
    assert "Qwen3-VL-8B-Instruct" in theirs


def test_a_narrow_page_has_table_2_turned_with_the_average_first(page):
    wide, narrow = re.findall(r'<div class="scroll (?:wide|narrow)-only".*?</table>', page.read_text(), re.S)
    assert re.findall(r'<th scope="col">(\w[\w-]*)', wide)[:3] == ["Method", "MMMU", "MathVista"]
    assert re.findall(r'<th scope="row">(\w[\w-]*)', narrow)[:2] == ["Average", "MMMU"]
    cells = [set(re.findall(r"\d+\.\d ± \d\.\d", table)) for table in (wide, narrow)]
    assert cells[0] == cells[1]


def test_table_2_can_be_copied(page):
    html = page.read_text()
    for kind, mark in (("Markdown", "| GRPO |"), ("LaTeX", r"\begin{tabular}"), ("CSV", "source,method,label")):
        assert mark in html.split(f"Table 2 as {kind}</summary>")[1].split("</pre>")[0]


def test_suite_without_metrics_and_evaluation_still_reports(tmp_path):
    write_run(tmp_path / "s", "grpo", status="running", steps_done=0)
    (tmp_path / "s/grpo/seed0/metrics.jsonl").unlink()
    (tmp_path / "s/grpo/seed0/settings.yaml").unlink()
    html = build(tmp_path / "s").read_text()
    assert "grpo/seed0 has not been evaluated" in html
    assert "No run has recorded metrics" in html
    assert not (tmp_path / "s/report/figures").exists()


def test_labels_names_and_commands_of_others_are_escaped(tmp_path):
    suite = write_suite(tmp_path / """a "quoted" 'name' <x>""")
    run = write_run(suite, "mine", label="<b>M</b>", command="cli.py <img src=x>")
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "reward": 0.5, "tokens": 3, "seconds": 1}) + "\n")
    html = build(suite).read_text()
    assert "<b>M</b>" not in html
    assert "&lt;b&gt;M&lt;/b&gt;" in html
    assert "<img src=x>" not in html
    assert "a &#34;quoted&#34; &#39;name&#39; &lt;x&gt;" in html
    Tree(html)
