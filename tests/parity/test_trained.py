"""A base that learns to answer without work is found by that detector, and by no other that reads replies.

The whole matrix takes minutes: `python -m tests.parity.trained`.
"""

from pathlib import Path

from tests.parity.leaks import fires
from tests.parity.trained import Size, examined, train


def test_a_base_that_learns_to_skip_its_work_is_found_by_that_detector_alone(tmp_path: Path) -> None:
    size = Size(each=2, fresh=12, steps=12)
    train("no work", size, tmp_path)
    found = examined(str(tmp_path), size, probes={})
    assert {name for name, rate in found.items() if fires(name, rate)} == {"skipped"}
