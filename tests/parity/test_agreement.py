"""The table in docs/eval.md is what the grader does today."""

import pytest

from tests.parity.agreement import table
from tests.parity.recorded import DATA
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/bench-data")


def test_the_table_in_the_docs_is_the_commands_output() -> None:
    text = (ROOT / "docs" / "eval.md").read_text()
    assert table() in text, "docs/eval.md differs: put the output of python -m tests.parity.agreement there"
