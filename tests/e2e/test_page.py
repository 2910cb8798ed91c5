"""The page in a browser: no error, no request, filters, deep links, axe-core. Skipped where no Chromium is."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.support.report_suite import build, write_suite

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build(write_suite(tmp_path_factory.mktemp("runs") / """a "quoted" & 'odd' name"""))


def opened(page, place="", *options):
    """The document after its scripts, and what the browser logged."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    command += ["--enable-logging=stderr", "--log-level=0", *options, page.as_uri() + place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def questions(document):
    """Of each question, whether it is hidden, whether it is open, and its place."""
    tags = re.findall(r'<details class="question"[^>]*>', document)
    return {re.search('id="([^"]+)', tag).group(1): (" hidden" in tag, " open" in tag) for tag in tags}


def test_filters_and_links_work_without_an_error(page):
    document, errors = opened(page, "#replies?bench=mmmu&a=rlsd&b=grpo&show=arbw")
    assert errors == []
    shown = [place for place, (hidden, _) in questions(document).items() if not hidden]
    # RLSD has the first 39 right and GRPO the first 36; the page holds 40 of MMMU.
    assert shown == ["q-mmmu-37", "q-mmmu-38", "q-mmmu-39"]
    assert "3 of 200 questions" in document
    assert "<script>alert" not in document

    document, errors = opened(page, "#q-wemath-2")
    assert errors == []
    assert questions(document)["q-wemath-2"] == (False, True)


def test_the_page_asks_for_nothing(page):
    blocked = "--host-resolver-rules=MAP * ~NOTFOUND"
    document, errors = opened(page, "", blocked)
    assert errors == []
    assert '<select id="choice-' in document
    assert document.count("<button") == 4  # three formats of Table 2, and the commands


QUESTION = '<details class="question"'
AXE = """
document.querySelectorAll("details").forEach((part) => { part.open = true; });
axe.run(document, { resultTypes: ["violations"] }).then(({ violations, passes }) => {
  const found = document.createElement("pre");
  found.id = "axe";
  const told = violations.map((rule) => [rule.id, ...rule.nodes.slice(0, 3).map((node) => node.html)]);
  found.textContent = JSON.stringify({ told, passed: passes.length });
  document.body.append(found);
});
"""


def test_axe_core_finds_nothing_on_a_phone(page, tmp_path):
    axe = pytest.importorskip("axe_core_python")
    script = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    first, second, third, *_, last = page.read_text(encoding="utf-8").split(QUESTION)
    # Two questions stand for all: two hundred take half a minute.
    few = QUESTION.join([first, second, third]) + last.split("</details>", 1)[1]
    head, tail = few.rsplit("</body>", 1)
    copy = tmp_path / "page.html"
    copy.write_text(f"{head}<script>{script}</script><script>{AXE}</script></body>{tail}", encoding="utf-8")
    document, errors = opened(copy, "", "--window-size=390,900", "--virtual-time-budget=20000")
    assert errors == []
    found = json.loads(unescape(re.search('<pre id="axe">(.*?)</pre>', document, re.S).group(1)))
    assert found["told"] == []
    assert found["passed"] > 30
