"""The claims as a table, and the page of findings that has it."""

import re
from statistics import fmean, stdev

import pandas as pd
import pytest
from scipy.stats import ttest_rel

from reports.findings.by_seed import COLUMNS
from reports.writers.claims import claims_text
from tests.support.paths import ROOT

STUDY = ROOT / "results" / "study-mini"
SUITES = sorted(file.parent for file in STUDY.glob("*/seeds.csv"))
PAGE = ROOT / "docs" / "findings.md"
PRINTED = re.compile(r"(?<=<!-- cli\.py claims results/study-mini -->\n\n).*?(?=\n<!-- end -->)", re.DOTALL)


def test_a_line_a_claim_and_a_line_a_method(tmp_path) -> None:
    exact = {"grpo": (0.30, 0.34, 0.32), "rlsd": (0.33, 0.35, 0.36)}
    rows = [(m, m.upper(), s, 100, "exact", v) for m, values in exact.items() for s, v in enumerate(values)]
    rows += [(m, m.upper(), s, 100, "average", 2 * v) for m, values in exact.items() for s, v in enumerate(values)]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(tmp_path / "seeds.csv", index=False)
    found = claims_text([tmp_path])
    assert f"| GRPO (grpo) | 3 | 64.0 (sd 4.0) | 32.0 (sd {100 * stdev(exact['grpo']):.1f}) | – | – | – | – |" in found
    assert "Over 6 runs the exact score and the average correlate by 1.000." in found
    assert f"of the exact: standard deviation {100 * stdev((0.03, 0.01, 0.04)):.2f} points." in found
    assert re.search(
        r"\| Table 2 \| RLSD scores above GRPO \| \+2\.32 \| \+5\.3 \(.* to .*\) \| .* \| 3 \| .* \|", found
    )
    assert "SDPO scores above OPSD" not in found
    assert re.search(r"^Claims that these runs say nothing of: Table 2 \(14\), ", found, re.MULTILINE)


def test_a_row_that_the_paper_does_not_have_is_compared_with_both(tmp_path) -> None:
    """Worked out with scipy.stats.ttest_rel; p of two tests is Holm's."""
    scores = {"grpo": (0.60, 0.62, 0.61), "rlsd": (0.63, 0.62, 0.65), "rlsd@x": (0.60, 0.58, 0.63)}
    rows = [(m, m.upper(), s, 60, "average", v) for m, values in scores.items() for s, v in enumerate(values)]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(tmp_path / "seeds.csv", index=False)
    found = claims_text([tmp_path])
    for reference, corrected in (("grpo", 1), ("rlsd", 2)):
        test = ttest_rel(scores["rlsd@x"], scores[reference])
        low, high = (100 * end for end in test.confidence_interval())
        mean = 100 * (fmean(scores["rlsd@x"]) - fmean(scores[reference]))
        line = f"| RLSD@X (rlsd@x) | {reference.upper()} | {mean:+.1f} ({low:.1f} to {high:.1f}) |"
        line += f" {corrected * test.pvalue:.3f} | 3 |"
        assert line.replace("-", "−") in found.replace("-", "−")


def test_a_method_is_of_the_first_folder_that_has_it(tmp_path) -> None:
    for name, value in (("a", 0.5), ("b", 0.7)):
        (tmp_path / name).mkdir()
        row = pd.DataFrame([("grpo", "GRPO", 0, 100, "average", value)], columns=list(COLUMNS))
        row.to_csv(tmp_path / name / "seeds.csv", index=False)
    found = claims_text([tmp_path / "a", tmp_path / "b"])
    assert "| GRPO (grpo) | 1 | 50.0 |" in found
    assert "| Claim |" not in found, "a table without a line: of one method nothing is claimed"


def test_the_page_of_findings_has_what_the_command_prints() -> None:
    """`python -m tests.unit.reports.writers.test_claims` writes it anew."""
    assert PRINTED.search(PAGE.read_text()).group() == claims_text([STUDY])


@pytest.mark.parametrize("suite", SUITES, ids=[suite.name for suite in SUITES])
def test_a_further_suite_s_claims_are_what_the_command_prints(suite) -> None:
    assert (suite / "claims.md").read_text() == claims_text([suite])


if __name__ == "__main__":
    PAGE.write_text(PRINTED.sub(lambda _: claims_text([STUDY]), PAGE.read_text()))
    for suite in SUITES:
        (suite / "claims.md").write_text(claims_text([suite]))
