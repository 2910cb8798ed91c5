"""What a run shows of itself while it trains."""

import io
from types import SimpleNamespace

from rich.console import Console

from runners.train.callbacks import StepBar


def test_the_bar_counts_steps_and_not_updates() -> None:
    """Gone on from step 1 of 3, each of 4 updates."""
    shown = io.StringIO()
    with StepBar(Console(file=shown), "sdpo seed 0", 3, updates=4) as bar:
        bar.on_train_begin(None, SimpleNamespace(global_step=4), None)
        for update in (8, 12):
            bar.on_log(None, SimpleNamespace(global_step=update), None, {"reward": 0.5})
    assert "sdpo seed 0: 3/3" in shown.getvalue()
