"""The replies of one evaluated run as text for a pager."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from eval.benches import BENCHES
from eval.core.errors import UserError
from eval.core.terminal import plain
from reports.suite.items import stored
from reports.suite.read import load_run


def browsed(folder: Path, bench: str | None, wrong: bool, leaking: bool) -> Iterator[str]:
    """A block a reply that fits: question and gold answer where they were kept, what was read, and the reply.

    Raises UserError where the run has no evaluation, or none of `bench`.
    """
    run = load_run(folder)
    if bench is not None and bench not in BENCHES:
        raise UserError(f"unknown bench {bench!r}: choose one of {', '.join(BENCHES)}")
    benches = [name for name in run.results if bench in (None, name)]
    if not benches:
        raise UserError(f"{folder} has no evaluation{f' of {bench}' if bench else ''}: cli.py eval --run {folder}")
    for name in benches:
        if (samples := stored(run.samples / name / "samples.parquet")) is None:
            raise UserError(f"{run.samples / name}/samples.parquet cannot be read: evaluate again")
        asked = stored(run.samples / name / "questions.parquet", ["id", "question", "gold"])
        kept = {} if asked is None else asked.set_index("id").to_dict("index")
        leaks = run.results[name].leaking
        for number, row in enumerate(samples.to_dict("records")):
            right = None if pd.isna(row["correct"]) else bool(row["correct"])
            if (wrong and right is not False) or (leaking and number not in leaks):
                continue
            verdict = {True: "right", False: "wrong", None: "not graded"}[right] + (", leaks" * (number in leaks))
            lines = [f"=== {BENCHES[name].label}  {row['id']}  sample {row['sample']}: {verdict}"]
            if row["id"] in kept:
                lines += [plain(str(kept[row["id"]]["question"])), f"--- gold: {plain(str(kept[row['id']]['gold']))}"]
            lines += [f"--- read as: {plain(str(row.get('extracted')))}", plain(str(row["reply"])), ""]
            yield "\n".join(lines) + "\n"
