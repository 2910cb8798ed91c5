"""Two runs against each other."""

import io

import pytest
from rich.console import Console

from eval.core.errors import UserError
from reports.writers.compare import compared
from tests.support.report_suite import CORRECT, write_eval, write_run


def printed(*folders):
    console = Console(file=io.StringIO(), width=80)
    for part in compared(*folders):
        console.print(part, markup=False) if isinstance(part, str) else console.print(part)
    return console.file.getvalue()


def test_settings_differences_and_flips(tmp_path):
    a, b = (write_run(tmp_path / "s", method) for method in ("grpo", "rlsd"))
    write_eval(a, 60, CORRECT["grpo"])
    write_eval(b, 60, CORRECT["rlsd"])
    said = printed(a, b)
    assert "params.lambda_steps" in said
    assert "MMMU" in said
    assert "+5.0" in said  # 39 of 60 against 36, and so three flips
    assert "MMMU: A right, B wrong 0 of 60" in said
    assert "MMMU: A wrong, B right 3 of 60: mmmu-36, mmmu-37, mmmu-38" in said
    assert max(map(len, said.splitlines())) <= 80


def test_what_cannot_be_compared_is_one_line(tmp_path):
    a, b = write_run(tmp_path / "s", "grpo"), write_run(tmp_path / "s", "rlsd")
    write_eval(a, 60, CORRECT["grpo"])
    with pytest.raises(UserError, match="share no bench"):
        list(compared(a, b))
    with pytest.raises(UserError, match="is no run"):
        list(compared(a, tmp_path))
