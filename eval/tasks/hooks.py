"""What the five lm-eval tasks share: rows in, verdicts out, and our aggregation instead of a mean of metrics.

A task's one sample value is `(row without pictures, verdict)`; each metric of its YAML aggregates these.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eval.benches import BENCHES
from eval.benches.columns import PICTURES
from eval.benches.summary import judge_all
from eval.core.errors import UserError
from eval.core.images import Picture
from eval.data.load import load
from eval.grading.score import Aggregate, Row, Verdict

Sample = tuple[Row, Verdict]


class Docs(list[Row]):
    """Rows as lm-eval expects a split: a sequence that knows its columns."""

    @property
    def features(self) -> dict[str, Any]:
        return dict.fromkeys(self[0])


def dataset(
    bench: str, data: str = "hub", limit: int | None = None, split: str | None = None, **_: Any
) -> dict[str, Docs]:
    """For lm-eval's own command: `--metadata '{"data": "mini"}'` or a path in place of the hub."""
    with _one_line():
        return {"test": Docs(load(bench, data, limit, split=split).rows)}


def opened(pictures: Sequence[Any], max_pixels: int | None = None) -> list[Any]:
    return [picture.open(max_pixels) if isinstance(picture, Picture) else picture for picture in pictures]


def process_results(bench: str, doc: Row, results: Sequence[str]) -> dict[str, Sample]:
    """Grade one reply under the default rule."""
    plain = {column: value for column, value in doc.items() if column not in PICTURES[bench]}
    sample = (plain, judge_all(bench, [plain], [[results[0]]], "default")[0][0])
    return {"score": sample, "parsed": sample} | ({"loose": sample} if bench == "wemath" else {})


def score(bench: str) -> Callable[[Sequence[Sample]], float]:
    """lm-eval aggregation: the bench's score, NaN where no row has an answer."""

    def aggregation(samples: Sequence[Sample]) -> float:
        total = _aggregate(bench, samples)
        return float("nan") if total.score is None else total.score

    return aggregation


def loose(samples: Sequence[Sample]) -> float:
    """lm-eval aggregation: We-Math's loose score, NaN where no row has an answer."""
    found = _aggregate("wemath", samples).scores.get("loose")
    return float("nan") if found is None else found


def parsed(samples: Sequence[Sample]) -> float:
    """lm-eval aggregation: share of replies in which an answer was found."""
    return sum(verdict.parsed for _, verdict in samples) / len(samples)


def _aggregate(bench: str, samples: Sequence[Sample]) -> Aggregate:
    with _one_line():
        return BENCHES[bench].aggregate([(row, verdict.correct) for row, verdict in samples])


@contextmanager
def _one_line() -> Iterator[None]:
    """lm-eval's command would show a traceback of what a user can mend."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
