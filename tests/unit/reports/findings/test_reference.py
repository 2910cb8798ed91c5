"""The paper's own table: averages recomputed, and how far luck of the questions reaches."""

from math import sqrt

import pytest

from reports.findings.reference import reference


def test_averages_are_the_means_of_the_columns():
    averages = reference().averages
    assert averages["RLSD"][0] == pytest.approx((67.22 + 78.10 + 52.73 + 24.85 + 58.00) / 5)
    assert all(f"{found:.2f}" == f"{printed:.2f}" for found, printed in averages.values())


def test_luck_is_that_of_independent_questions():
    gap = next(gap for gap in reference().gaps if gap.other == "GRPO")
    assert gap.label == "RLSD"
    assert gap.difference == pytest.approx(0.0232)
    shares = {900: (67.22, 65.11), 1000: (78.1, 76.2), 3040: (52.73, 48.82), 334: (24.85, 22.6), 525: (58, 56.57)}
    errors = {n: sqrt(sum(p / 100 * (1 - p / 100) / n for p in both)) for n, both in shares.items()}
    assert gap.luck == pytest.approx(1.96 * sqrt(sum(e * e for e in errors.values())) / 5)
    assert gap.explained == (gap.luck >= 0.0232)
    assert len(gap.beyond) == sum(abs(a - b) / 100 > 1.96 * errors[n] for n, (a, b) in shares.items())


def test_what_luck_alone_could_explain():
    found = {f"{gap.label} - {gap.other}": gap.explained for gap in (*reference().gaps, *reference().others)}
    assert len(found) == 15
    more = {pair for pair, explained in found.items() if not explained}
    assert more == {f"RLSD - {other}" for other in ("Base", "GRPO", "OPSD", "SDPO", "GRPO+OPSD")} | {"GRPO - Base"}
