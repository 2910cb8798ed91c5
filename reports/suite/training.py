"""What went wrong in training, from the metrics: replies cut short, rewards that teach nothing."""

import pandas as pd

from reports.suite.read import Run, Suite

LAST = 10  # steps that are looked at for what a run has come to
HALF, MOST = 0.5, 0.9


def training_notes(suite: Suite) -> list[str]:
    """A sentence for each run whose last replies were mostly cut, whose rewards were zero throughout, or whose groups
    mostly had one reward each."""
    return [note for run in suite.runs for note in _notes(run, suite.metrics)]


def _notes(run: Run, metrics: pd.DataFrame) -> list[str]:
    own = metrics[(metrics["method"] == run.method) & (metrics["seed"] == run.seed)]
    if own.empty:
        return []
    notes, last = [], own.sort_values("step").tail(LAST)
    if (cut := _mean(last, "truncated")) > HALF:
        notes.append(
            f"{run.name}: {cut:.0%} of the replies of its last {len(last)} steps were cut at the token limit, before "
            "any answer could be graded; raise train.max_completion_tokens."
        )
    if "reward" in own and (own["reward"] == 0).all():
        notes.append(f"{run.name}: no reply got a reward in {len(own)} steps; nothing was learnt from rewards.")
    elif (dead := _mean(own, "dead_groups")) > MOST:
        notes.append(
            f"{run.name}: in {dead:.0%} of the groups all replies got one reward; a policy gradient learnt from the "
            "others alone, so the data is too easy or too hard for the model."
        )
    return notes


def _mean(metrics: pd.DataFrame, name: str) -> float:
    """0 where it was not recorded."""
    return float(metrics[name].mean()) if name in metrics and metrics[name].notna().any() else 0.0
