"""The quick part of `python -m tests.faults.kills`: a kill, the same command again, and all files as if unbroken."""

import random
from pathlib import Path

import pytest

from tests.faults.kills import SCENARIOS, chains


@pytest.mark.parametrize(("name", "kills"), [("train-sdpo", 3), ("filter", 2)])
def test_killed_and_gone_on(tmp_path: Path, name: str, kills: int) -> None:
    outcomes = list(chains(SCENARIOS[name], kills, tmp_path, random.Random(0)))
    assert sum(outcome.kills for outcome in outcomes) == kills
    assert [outcome.unequal for outcome in outcomes if outcome.unequal] == []
