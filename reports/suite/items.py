"""The items behind the scores: samples.parquet of each run as one frame, in the columns of reports.stats.grid."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from eval.benches import BENCHES
from reports.suite.read import Run

COLUMNS = ["id", "sample", "cluster", "correct"]


def score_items(runs: Sequence[Run], benches: Iterable[str]) -> pd.DataFrame | None:
    """What each unit is worth: right 1, wrong 0, or a half credit; units without a gold answer are left out.

    Also the columns method and sample. None where a run has no whole samples.parquet of one of the benches.
    """
    return _joined(runs, benches, lambda run, bench: _units(*_file(run, bench), bench))


def leakage_items(runs: Sequence[Run], benches: Iterable[str], detector: str) -> pd.DataFrame | None:
    """Whether the detector found something in each reply, 1 or 0; None also where a bench was not searched by it.

    A question is its own cluster here: its samples are one draw. Besides, for what leaking goes along with: `correct`
    is 1, 0 or NaN without a gold answer, `drawn` the cluster that the reply is scored in.
    """

    def values(run: Run, bench: str) -> pd.DataFrame | None:
        finds, samples = run.results[bench].leakage.get(detector), _read(*_file(run, bench))
        if finds is None or samples is None:
            return None
        found = samples.reset_index().index.isin(finds.found).astype(float)
        return pd.DataFrame(
            {
                "unit": samples["id"],
                "cluster": samples["id"],
                "sample": samples["sample"],
                "value": found,
                "correct": samples["correct"].astype("Float64").to_numpy(float, na_value=np.nan),
                "drawn": bench + "/" + samples["cluster"].astype(str),
            }
        )

    return _joined(runs, benches, values)


Values = Callable[[Run, str], pd.DataFrame | None]


def _joined(runs: Sequence[Run], benches: Iterable[str], values: Values) -> pd.DataFrame | None:
    frames = []
    for run in runs:
        for bench in benches:
            found = values(run, bench)
            if found is None:
                return None
            frames.append(found.assign(bench=bench, method=run.method, seed=run.seed))
    return pd.concat(frames, ignore_index=True)


def _file(run: Run, bench: str) -> tuple[Path, int]:
    """The bench's samples and when they were written: several sections ask for the same, and keep what was read."""
    path = run.samples / bench / "samples.parquet"
    return path, path.stat().st_mtime_ns if path.exists() else 0


def stored(path: Path, columns: list[str] | None = None) -> pd.DataFrame | None:
    """A table of parquet; None where it is missing or broken, or lacks one of the columns."""
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError):  # pyarrow's own errors for a broken file or a missing column are ValueErrors
        return None


@lru_cache(maxsize=1000)  # nobody changes a frame in place
def _read(path: Path, _: int) -> pd.DataFrame | None:
    return stored(path, COLUMNS)


@lru_cache(maxsize=1000)
def _units(path: Path, written: int, bench: str) -> pd.DataFrame | None:
    samples = _read(path, written)
    if samples is None:
        return None
    known = samples[samples["correct"].notna()]
    if len(BENCHES[bench].key) == 1:  # a row is a unit
        known = known.rename(columns={"id": "unit"})
        return known.assign(value=known["correct"].astype(float))[["unit", "cluster", "sample", "value"]]
    return pd.concat([_grouped(bench, number, part) for number, part in known.groupby("sample")])


def _grouped(bench: str, sample: object, samples: pd.DataFrame) -> pd.DataFrame:
    """Where several rows make a unit, an id is the unit's and the row's; the bench's own rule says what it is worth."""
    graded = [
        (dict(zip(BENCHES[bench].key, str(row).rsplit("/", 1), strict=True)), bool(correct))
        for row, correct in zip(samples["id"], samples["correct"], strict=True)
    ]
    found = BENCHES[bench].aggregate(graded)
    return pd.DataFrame({"unit": found.clusters, "cluster": found.clusters, "sample": sample, "value": found.values})
