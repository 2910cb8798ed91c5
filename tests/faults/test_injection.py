"""Names and words that would be markup somewhere: every output of a report, read by a parser of its format."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree, html
from markdown_it import MarkdownIt
from rich.console import Console

from eval.core.terminal import plain
from reports.writers.claims import CLAIMS, ROWS, claims_text
from reports.writers.contents import collect
from reports.writers.terminal import terminal_table
from tests.support.report_suite import build, write_run

CORPUS = [  # what matters at the beginning of a cell begins one
    '<script>alert(1)</script> "><img src=x onerror=alert(1)> </table><h1>x</h1> {{ 7 * 7 }}{% raw %}',
    "&lt;b&gt; ![x](http://x/y) [a](javascript:x) <http://x>",
    "`code` *strong* _thin_ ~~gone~~ a | b |",
    '=HYPERLINK("http://x")',
    "+1+1",
    "-2+3 :warning:",
    '@SUM(A1), "quote"',
    "[1cm] $\\frac{$ \\input{/etc/passwd} \\end{tabular}",
    "*%&#_{}~^",
    "[/red] [bold]x",
    "\x1b[31mred\x1b]0;title\x07 a\rb\nc\td",
    "_hidden \ud800",
    "x" * 100_000,
]
LABELS = {f"m{i}": text for i, text in enumerate(CORPUS)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suite = tmp_path_factory.mktemp("runs") / "hostile"
    for method, label in LABELS.items():
        write_run(suite, method, steps=2, label=label, reason=label, status="failed", data=label, model=label)
    return build(suite).parent


def _shown(label: str) -> str:
    """As people see it: no control characters, and not without end."""
    return "".join(c if c.isprintable() else "?" for c in label)[:80]


def test_html(report: Path) -> None:
    page = (report / "report.html").read_text()
    tree = html.fromstring(page)
    names = {str(element.tag) for element in tree.iter() if isinstance(element.tag, str)}
    assert not names & {"iframe", "object", "embed", "link", "base", "form"}
    assert [a for e in tree.iter() for a in e.attrib if a.lower().startswith("on")] == []
    assert all("alert" not in (script.text or "") for script in tree.iter("script"))
    assert all(str(image.get("src")).startswith("data:image/") for image in tree.iter("img"))
    assert all(not str(link.get("href")).startswith(("javascript", "http://x")) for link in tree.iter("a"))
    text = tree.text_content()
    assert [label for label in CORPUS if " ".join(_shown(label).split()) not in " ".join(text.split())] == []


def test_json(report: Path) -> None:
    assert "table2" in json.loads((report / "report.json").read_text()) or json.loads(
        (report / "report.json").read_text()
    )


def test_csv(report: Path) -> None:
    for file in report.glob("*.csv"):
        rows = list(csv.DictReader(io.StringIO(file.read_text())))
        assert rows
        for row in rows:
            assert None not in row
            for column in ("method", "label"):
                assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_claims(report: Path) -> None:
    """Its rows are the runs' labels: none adds a cell, a line or an element."""
    lines = [line for line in claims_text([report]).splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) - 2 for line in lines} == {len(ROWS), len(CLAIMS)}
    assert not [line for line in lines if re.search(r"<[^ ]", line)]


def _tokens(source: str) -> Iterator[str]:
    """TeX's own: a command, or a character."""
    return (match[0] for match in re.finditer(r"\\[a-zA-Z]+|\\.|[^\\]", source, re.S))


KNOWN = {
    *(
        "usepackage",
        "begin",
        "end",
        "centering",
        "footnotesize",
        "setlength",
        "tabcolsep",
        "caption",
        "label",
        "medskip",
    ),
    *("toprule", "midrule", "bottomrule", "textbf", "boldmath", "textbackslash", "textless", "textgreater", "textbar"),
    *("textasciitilde", "textasciicircum", "pm", "dagger"),
}


def test_latex(report: Path) -> None:
    """Read as TeX reads it: only our commands, balanced groups and environments, and as many cells a row as columns."""
    for file in report.glob("*.tex"):
        source = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("%"))
        depth, maths = 0, False
        for token in _tokens(source):
            depth += {"{": 1, "}": -1}.get(token, 0)
            maths ^= token == "$"
            assert depth >= 0
            assert len(token) < 2 or not token[1].isalpha() or token[1:] in KNOWN, token
            assert token not in "%#^~", token
        assert (depth, maths) == (0, False)
        assert re.findall(r"\\\\\s*(?:\[|\*)", source) == []
        assert source.count(r"\begin{") == source.count(r"\end{")
        for row in re.findall(r"\\midrule\n(.*?)\\bottomrule", source, re.S):
            cells = {re.sub(r"\\.", "", line).count("&") for line in row.strip().split("\n")}
            assert len(cells) == 1


def test_markdown(report: Path) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for file in report.glob("*.md"):
        text = file.read_text()
        kinds = {token.type for part in reader.parse(text) for token in (part, *(part.children or []))}
        assert not kinds & {
            "html_inline",
            "html_block",
            "image",
            "link_open",
            "code_inline",
            "s_open",
            "em_open",
            "fence",
        }
        tree = html.fromstring(reader.render(text))
        widths = {(table, len(row)) for table in tree.iter("table") for row in table.iter("tr")}
        assert len(widths) == len(list(tree.iter("table")))


def test_figures(report: Path) -> None:
    for file in report.glob("figures/*.svg"):
        tree = etree.parse(file)
        assert not {etree.QName(e).localname for e in tree.iter() if isinstance(e.tag, str)} & {
            "script",
            "foreignObject",
            "a",
        }
    assert list(report.glob("figures/*.svg"))


def test_terminal(report: Path) -> None:
    stream = io.StringIO()
    Console(file=stream, width=200, markup=False, emoji=False).print(terminal_table(collect(report.parent)))
    said = stream.getvalue()
    assert "\x1b" not in said
    assert "\x07" not in said
    for name in ("[/red]", "[bold]x", ":warning:"):
        assert name in said
    assert plain("\x1b[31mred\x9b") == "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"
