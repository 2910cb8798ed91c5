"""report.json: the numbers of the page, as strict JSON."""

import json
import math

import pytest

from reports.writers.contents import collect
from reports.writers.folder import report_json
from tests.support.report_suite import CORRECT, write_eval, write_run


def test_report_json_has_the_numbers(page):
    numbers = json.loads((page.parent / "report.json").read_text())
    rlsd = numbers["table2"][5]
    assert rlsd["label"] == "RLSD"
    assert rlsd["cells"]["mmmu"]["mean"] == 0.65
    assert numbers["leakage"]["mention"]["rows"][2]["rate"]["mean"] == 30 / 322
    curves = numbers["dynamics"]["panels"]["lambda"]["methods"]
    assert list(curves) == ["rlsd"]
    assert curves["rlsd"]["mean"][24] == pytest.approx(25 / 100)
    assert numbers["runs"][0]["name"] == "base/seed0"
    assert numbers["warnings"] == []


def test_report_json_is_strict_json_whatever_was_recorded(tmp_path):
    run = write_run(tmp_path / "s", "grpo")
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": NaN, "entropy": 0.5}\n')
    write_eval(run, 60, CORRECT["grpo"], scores={"loose": math.nan})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    numbers = json.loads(report_json(collect(tmp_path / "s")), parse_constant=refuse)
    assert numbers["runs"][0]["results"]["mmmu"]["scores"] == {"loose": None}
    assert list(numbers["dynamics"]["panels"]) == ["entropy"]
