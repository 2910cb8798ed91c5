"""The error rates in docs/leakage.md are what the mention detector has today."""

from pathlib import Path

import pytest

from tests.parity.mentions import LANGUAGES, fires, kinds, lines, rates, share
from tests.parity.recorded import DATA

PAGE = Path(__file__).parents[2] / "docs" / "leakage.md"


@pytest.mark.parametrize("table", [rates, kinds], ids=lambda table: table.__name__)
def test_the_tables_in_the_docs_are_the_commands_output(table) -> None:
    assert table() in PAGE.read_text(), (
        "docs/leakage.md differs: put the output of python -m tests.parity.mentions there"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_precision_does_not_fall(language: str) -> None:
    """A clean line that is called a leak is the worse error: it accuses a method."""
    held_out = [line for line in lines(language) if line.held_out]
    assert sum(line.found for line in held_out if not line.leaks) <= 1
    assert sum(line.found for line in held_out if line.leaks) >= 0.7 * sum(line.leaks for line in held_out)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/bench-data")
def test_recorded_replies_of_models_that_were_told_nothing() -> None:
    n, hits, texts = fires(DATA)
    assert hits <= n / 1000, texts
    assert f"{hits} of {n:,} replies, {share(hits, n, 3)}" in PAGE.read_text()


def test_an_interval_is_wilson_s() -> None:
    """(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), by hand for 8 of 10 and z = 1.96."""
    assert share(8, 10) == "80.0% [49.0, 94.3]"
