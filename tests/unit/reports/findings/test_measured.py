"""What probes and token credit left beside the runs."""

import json

from reports.findings.measured import localisation, probes
from reports.suite.read import load_suite
from tests.support.report_suite import write_json, write_measured, write_run


def test_a_row_a_probed_run_and_a_dash_for_what_was_not_asked(tmp_path):
    for method, seed in (("opsd", 0), ("opsd", 1), ("rlsd", 0)):
        write_run(tmp_path / "s", method, seed)
    assert probes(load_suite(tmp_path / "s")) is None
    assert localisation(load_suite(tmp_path / "s")) is None
    write_measured(tmp_path / "s")
    told = json.loads((tmp_path / "s/opsd/seed0/eval/60/probes.json").read_text())["told_gap"]
    write_json(
        tmp_path / "s/opsd/seed1/eval/9/probes.json", {"told_gap": told | {"value": {"value": 1, "stderr": 0.5}}}
    )
    write_json(tmp_path / "s/opsd/seed1/eval/60/probes.json", {"told_gap": told})  # the last one counts
    found = probes(load_suite(tmp_path / "s"))
    assert found.heads == ("Canary exposure, bits", "Told-untold gap, accuracy")
    shown = {label: [cell and (cell.value, cell.n) for cell in cells] for label, cells in found.rows}
    assert shown == {"OPSD, seed 0": [(2.5, 8), (-0.125, 1)], "OPSD, seed 1": [None, (-0.125, 1)]}
    (_, (auc, *_, permuted, share, base)), _ = localisation(load_suite(tmp_path / "s")).rows
    assert (auc.shown, permuted, share.shown, base.shown) == ("0.75 ± 0.05", None, "–", "0.13 ± 0.00")


def test_damaged_files_cost_a_warning_and_no_report(tmp_path):
    run = write_run(tmp_path / "s", "opsd")
    write_json(run / "eval/60/probes.json", {"canary": 3})
    write_json(run / "credit/localisation.json", {"60": {"opsd": {"auc": {"value": "x"}}}})
    suite = load_suite(tmp_path / "s")
    assert (probes(suite), localisation(suite)) == (None, None)
    assert [problem.split(" ")[0] for problem in suite.problems] == [
        "opsd/seed0/eval/60/probes.json",
        "opsd/seed0/credit/localisation.json",
    ]
