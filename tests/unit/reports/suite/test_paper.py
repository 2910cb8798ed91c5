"""The paper's table."""

import pytest

from reports.suite import paper


def test_paper_averages_recompute_to_the_last_digit():
    for method, (*benches, average) in paper.PERCENT.items():
        assert sum(benches) / 5 == pytest.approx(average, abs=0.0051), method
