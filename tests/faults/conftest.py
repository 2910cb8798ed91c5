"""A command in this process, in an empty folder of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cli

Told = tuple[int | str, str]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Exit code and standard error of `cli.py words`."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["cli.py", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().err

    return run


@pytest.fixture
def refused(told: Callable[..., Told]) -> Callable[..., str]:
    """The line with which `cli.py words` is refused: exit code 2, one line, nothing left behind."""

    def run(*words: str) -> str:
        before = sorted(Path().rglob("*"))
        code, said = told(*words)
        lines = said.strip().split("\n")
        assert (code, len(lines)) == (2, 1), said
        assert lines[0].startswith("error: "), said
        assert sorted(Path().rglob("*")) == before
        return lines[0]

    return run
