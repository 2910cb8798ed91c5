"""The pages of docs/ against the code that they describe.

`python -m tests.unit.test_docs` moves the line numbers of all links after the code has moved.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import cli
from methods import METHODS, Sibling, Task
from methods.words import TEMPLATES, context
from reports.suite import paper
from runners.run.config import resolve, variants
from runners.run.registry import complete, expand
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
METHOD_PAGES = [DOCS / "methods" / f"{name}.md" for name in METHODS]
PAGES = sorted(DOCS.rglob("*.md"))
CODE_LINK = re.compile(r"\[`([^`]+)`\]\(([^)#\s]+)#L(\d+)\)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DIFFERS = "Differs from the paper and from the official code"
SECTIONS = ["Equation", "Code", DIFFERS, "Teacher", "Metrics", "Variants", "Result", "How to run"]


def _name(page: Path) -> str:
    return str(page.relative_to(DOCS))


def _lines_with(symbol: str, file: Path) -> list[int]:
    return [i for i, line in enumerate(file.read_text().splitlines(), start=1) if symbol in line]


def _commands(page: Path) -> list[list[str]]:
    found = re.findall(r"^\$ uv run cli\.py (.*)$", page.read_text(), re.MULTILINE)
    return [shlex.split(command) for command in found]


def test_no_page_or_result_has_a_path_of_somebody_s_machine() -> None:
    """Runs record the command as it was given: `--preset /home/me/mine.yaml` would be on the page."""
    theirs = re.compile(r"(?<![\w.~}])/(?:home|root|tmp|work|mnt|Users)/\w")
    pages = [f for folder in ("docs", "results") for f in (ROOT / folder).rglob("*.*") if f.suffix != ".png"]
    assert [str(f) for f in (*ROOT.glob("*.md"), *pages) if theirs.search(f.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert "://" in target or (page.parent / target).exists(), f"{_name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_linked_lines_hold_what_the_link_names(page: Path) -> None:
    for symbol, target, number in CODE_LINK.findall(page.read_text()):
        where = _lines_with(symbol, page.parent / target)
        assert int(number) in where, (
            f"{_name(page)}: {symbol!r} is not in line {number} of {target} but in {where}: "
            "run python -m tests.unit.test_docs"
        )


@pytest.mark.parametrize("page", METHOD_PAGES, ids=_name)
def test_a_method_page_links_its_own_file_and_the_harness(page: Path) -> None:
    targets = {target for _, target, _ in CODE_LINK.findall(page.read_text())}
    assert f"../../methods/{page.stem}.py" in targets
    assert "../../runners/train/trainer.py" in targets


@pytest.mark.parametrize("page", METHOD_PAGES, ids=_name)
def test_a_method_page_has_every_section(page: Path) -> None:
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert headings == SECTIONS
    assert "```math" in page.read_text()
    assert len(page.read_text().splitlines()) <= 100


@pytest.mark.parametrize("page", METHOD_PAGES, ids=_name)
def test_a_method_page_names_every_variant(page: Path) -> None:
    variants = yaml.safe_load((ROOT / "methods" / "variants" / page.name).with_suffix(".yaml").read_text())
    section = page.read_text().partition("## Variants")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)`", section, re.MULTILINE) == [f"{page.stem}@{v}" for v in variants]


@pytest.mark.parametrize("page", [page for page in METHOD_PAGES if page.stem in paper.PERCENT], ids=_name)
def test_the_row_of_table_2_is_the_paper_s_and_says_so(page: Path) -> None:
    section = page.read_text().partition("## Result")[2]
    ours, told = section.partition("What the demo measured:")[::2]
    assert "What the paper reports: Table 2" in ours
    assert "| " + " | ".join(f"{value:.2f}" for value in paper.PERCENT[page.stem]) + " |" in ours
    assert told, "the demo has no place"


@pytest.mark.parametrize("page", METHOD_PAGES, ids=_name)
def test_named_deviations_are_in_the_table(page: Path) -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "DEVIATIONS.md").read_text(), re.MULTILINE)
    named = re.findall(r"\[([^\]]+)\]\(\.\./\.\./DEVIATIONS\.md\)", page.read_text())
    assert len(named) > 2
    assert set(named) - {"DEVIATIONS.md"} <= set(rows)


@pytest.mark.parametrize("page", METHOD_PAGES, ids=_name)
def test_commands_are_valid(page: Path) -> None:
    """Options exist, and methods, variants, presets and settings resolve."""
    group = typer.main.get_command(cli.app)
    commands = _commands(page)
    assert {words[0] for words in commands} == {"train", "sweep", "plan"}
    for words in commands:
        with group.make_context("cli.py", list(words), resilient_parsing=True) as context:
            command = group.get_command(context, words[0])
            chosen = command.make_context(words[0], words[1:]).params
        names = expand(chosen["methods"]) if words[0] == "sweep" else [chosen["method"]]
        assert any(name.partition("@")[0] == page.stem for name in names)
        for name in names:
            complete(resolve(chosen["preset"], name, 0, list(chosen["set"])))


def test_the_index_has_a_row_for_every_method() -> None:
    text = (DOCS / "methods" / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [re.findall(r"\((\w+)\.md\) \|$", row) for row in rows] == [[name] for name in METHODS]
    assert [row.split(" | ")[0][2:] for row in rows] == [METHODS[name].label for name in METHODS]


def _filled(kind: str) -> list[str]:
    """A template with each text that the group below has."""
    texts = ("7", "3 + 4 = 7", "right", "also right", "wrong", "")
    return [context(kind, text, failure).words for text in texts for failure in texts]


@pytest.mark.parametrize("name", METHODS)
def test_the_templates_of_the_teacher_are_named(name: str) -> None:
    """The words of `contexts` with each parameter that a variant sets, on a group that has all there is."""
    group = [Sibling("right", 1.0), Sibling("also right", 1.0), Sibling("wrong", 0.0)]
    section = (DOCS / "methods" / f"{name}.md").read_text().partition("## Teacher")[2].partition("\n## ")[0]
    for variant in ["", *(f"@{v}" for v in variants(name))]:
        _, method = complete(resolve("cpu", name + variant, 0, []))
        for task in (Task("7"), Task("7", "3 + 4 = 7")):
            for told in method.contexts(task, group, 0).values():
                if not told.words:
                    assert "told nothing" in section
                    continue
                (kind,) = [kind for kind in TEMPLATES if told.words in _filled(kind)]
                assert f"`{kind}`" in section, f"{name}{variant} tells {kind}"


def _moved(page: Path) -> str:
    """The page with each link at the nearest line that holds its symbol."""

    def nearest(match: re.Match[str]) -> str:
        symbol, target, number = match.groups()
        where = _lines_with(symbol, page.parent / target)
        if not where:
            print(f"{_name(page)}: {symbol!r} is gone from {target}")
        line = min(where, key=lambda i: abs(i - int(number)), default=number)
        return f"[`{symbol}`]({target}#L{line})"

    return CODE_LINK.sub(nearest, page.read_text())


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(_moved(page))
