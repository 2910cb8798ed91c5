"""Table 3 by stated criteria."""

import pytest

from reports.findings.trilemma import Verdicts, trilemma
from reports.suite.read import load_suite
from tests.support.report_suite import CORRECT, write_eval, write_run


@pytest.fixture
def suite(tmp_path):
    write_eval(write_run(tmp_path / "s", "base"), 0, CORRECT["base"])
    for method, peak, last, leaks in (("rlsd", "grpo", "rlsd", 0), ("opsd", "rlsd", "opsd", 30)):
        run = write_run(tmp_path / "s", method)
        for step, right in ((20, CORRECT["grpo"]), (40, CORRECT[peak]), (60, CORRECT[last])):
            write_eval(run, step, right, leaks=leaks)
    write_eval(write_run(tmp_path / "s", "grpo"), 60, CORRECT["grpo"])
    return tmp_path / "s"


def test_criteria(suite):
    rows = {row.label: row for row in trilemma(load_suite(suite))}
    assert rows["RLSD"] == Verdicts("RLSD", stable=True, improving=True, leak_free=True)
    assert rows["OPSD"] == Verdicts("OPSD", stable=False, improving=False, leak_free=False)
    assert rows["GRPO"].stable is None  # a single step says nothing
