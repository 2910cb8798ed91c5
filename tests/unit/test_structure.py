"""Rules of the house that a machine can hold."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from methods import METHODS
from tests.support.paths import ROOT

SOURCES = [p for folder in ("methods", "runners", "eval", "reports", "tests") for p in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("file", sorted((ROOT / "runners").rglob("*.py")), ids=lambda p: p.name)
def test_the_harness_names_no_method(file: Path) -> None:
    for name in METHODS:
        assert not re.search(rf"""["']{name}["']""", file.read_text()), f"{file.name} names {name}"


def test_files_are_short() -> None:
    long = {
        str(p.relative_to(ROOT)): n for p in [*SOURCES, ROOT / "cli.py"] if (n := len(p.read_text().splitlines())) > 350
    }
    assert long == {}


def test_methods_depend_on_torch_alone() -> None:
    for file in (ROOT / "methods").glob("*.py"):
        for module in re.findall(r"^(?:from|import) (\w+)", file.read_text(), re.MULTILINE):
            assert module in {"methods", "torch", "pydantic", "math", "collections", "dataclasses", "types", "typing"}


@pytest.mark.parametrize(
    "module", ["cli", "eval.settings", "runners.run.config", "reports.writers.folder", "eval.benches"]
)
def test_these_start_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_readme_leads_with_the_two_commands_and_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert commands[:2] == [
        "python3 -m pip install uv && uv run cli.py demo",
        "python3 -m pip install uv && uv run --group test pytest",
    ]
