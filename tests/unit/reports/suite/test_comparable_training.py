"""Warnings from the metrics of training."""

from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from reports.suite.comparable import training_notes
from reports.suite.read import Run

HEALTHY = {"reward": [0.0] * 6 + [0.5] * 6, "truncated": [1.0] * 6 + [0.1] * 6, "dead_groups": [0.95] * 6 + [0.5] * 6}


def notes(**metrics: Any) -> list[str]:
    frame = pd.DataFrame({"method": "grpo", "seed": 0, "step": range(1, 13), **HEALTHY, **metrics})
    run = SimpleNamespace(name="grpo/seed0", method="grpo", seed=0)
    return training_notes(cast(Run, run), frame)


@pytest.mark.parametrize(
    ("metrics", "word"),
    [
        ({"truncated": 1.0}, "100% of the replies of its last 10 steps were cut"),
        ({"reward": 0.0}, "no reply got a reward in 12 steps"),
        ({"dead_groups": 0.96}, "in 96% of the groups"),
    ],
)
def test_a_run_that_cannot_have_learnt_is_told(metrics: dict[str, float], word: str) -> None:
    (note,) = notes(**metrics)
    assert note.startswith(f"grpo/seed0: {word}")


def test_a_healthy_run_is_not_and_one_without_figures_neither() -> None:
    assert notes() == []
    assert notes(truncated=float("nan"), dead_groups=float("nan")) == []
