"""One bar or several, drawn or told."""

import io
import re

import pytest
from rich.console import Console

from eval.core import progress
from eval.core.progress import Bar, drawing


def test_without_a_terminal_a_line_now_and_then_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    text = io.StringIO()
    with Bar("MMMU", 100, 20, Console(file=text)) as bar:
        for seconds, done in ((10, 25), (40, 40), (45, 60), (70, 80), (75, 100)):
            now[0] = 1000.0 + seconds
            bar.update(done, "a note")
    assert text.getvalue().splitlines() == [
        "MMMU: 40/100, 0:00:40 elapsed, about 0:02:00 left, a note",  # 20 in 40 s and 60 to go
        "MMMU: 80/100, 0:01:10 elapsed, about 0:00:23 left, a note",  # 60 in 70 s and 20 to go
        "MMMU: 100/100, 0:01:15 elapsed, a note",
    ]


def test_several_bars_are_drawn_one_below_the_other_when_asked() -> None:
    text = io.StringIO()
    with (
        drawing(Console(file=text, force_terminal=True, width=100), by_itself=False) as drawn,
        Bar("grpo [/red] seed 0", 40, 10, drawn=drawn) as first,
        Bar("rlsd seed 0", 40, drawn=drawn) as second,
    ):
        first.update(20)
        second.update(1, "failed")
        drawn.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())
    first_line, second_line = [line for line in shown.replace("\r", "\n").splitlines() if "seed" in line][-2:]
    assert first_line.startswith("grpo [/red] seed 0") and " 20/40 " in first_line
    assert second_line.startswith("rlsd seed 0") and " 1/40 " in second_line and "failed" in second_line
    assert "elapsed" not in shown, "what is drawn is not told as well"


def test_several_bars_are_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    text = io.StringIO()
    with (
        drawing(Console(file=text), by_itself=False) as drawn,
        Bar("grpo", 40, 10, drawn=drawn) as first,
        Bar("rlsd", 40, drawn=drawn) as second,
    ):
        now[0] = 30.0
        first.update(20)
        second.update(0)
    assert text.getvalue().splitlines() == [
        "grpo: 20/40, 0:00:30 elapsed, about 0:01:00 left",
        "rlsd: 0/40, 0:00:30 elapsed",
        "rlsd: 0/40, 0:00:30 elapsed",
        "grpo: 20/40, 0:00:30 elapsed, about 0:01:00 left",
    ]
