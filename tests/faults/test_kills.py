"""The quick part of `python -m tests.faults.kills`: a kill, the same command again, and all files as if unbroken."""

import random
from pathlib import Path

import pytest

from tests.faults.kills import SCENARIOS, chain, unbroken


@pytest.mark.parametrize(("name", "kills"), [("train-sdpo", 3), ("filter", 2)])
def test_killed_and_gone_on(tmp_path: Path, name: str, kills: int) -> None:
    whole = unbroken(SCENARIOS[name], tmp_path)
    outcome = chain(SCENARIOS[name], whole, tmp_path / "broken", random.Random(0), kills)
    assert outcome.unequal == []
    assert outcome.kills >= kills - 1  # what is left may be fewer operations than asked
