"""A bench as lm-eval's task: rows in, verdicts out, and our aggregation instead of a mean of metrics.

A task's one sample value is `(row without pictures, verdict)`; each of its metrics aggregates these, so lm-eval has no
standard error for them. One reply a question: for several (mean@n, pass@k) there is `cli.py eval --set eval.samples=n`.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from eval.benches.bench import Bench
from eval.benches.summary import grade_all
from eval.core.errors import UserError
from eval.data.load import load, without_pictures
from eval.grading.score import Row, Verdict

Sample = tuple[Row, Verdict]


class Docs(list[Row]):
    """Rows as lm-eval expects a split: a sequence that knows its columns."""

    @property
    def features(self) -> dict[str, Any]:
        return dict.fromkeys(self[0])


def task_config(bench: Bench) -> dict[str, Any]:
    """What lm-eval's `ConfigurableTask` is told about a bench. `--gen_kwargs` overrides the sampling."""
    aggregations = {name: partial(score, bench, name) for name in ("score", *bench.metrics)}
    return {
        "task": bench.name,
        "output_type": "generate_until",
        "test_split": "test",  # the name under which `dataset` hands the rows over, whatever split they come from
        "custom_dataset": partial(dataset, bench),
        "doc_to_text": bench.prompt,
        "doc_to_image": lambda row: [picture.open() for picture in bench.shown(row)],
        "doc_to_target": bench.answer,
        "process_results": partial(process_results, bench),
        "metric_list": [
            {"metric": name, "aggregation": aggregation, "higher_is_better": True}
            for name, aggregation in {**aggregations, "parsed": parsed}.items()
        ],
        "generation_kwargs": {
            "until": [],  # no stop text: a reply ends with the model's own end token, which lm-eval adds
            "do_sample": True,
            "temperature": 0.7,
            "top_p": 0.8,
            "top_k": 20,
            "max_gen_toks": 4096,
            # presence_penalty 1.5 of `cli.py eval` is not here: hf-multimodal does not know it; give it to vllm-vlm
        },
        "metadata": {"version": bench.version},
    }


def dataset(
    bench: Bench, data: str = "hub", limit: int | None = None, split: str | None = None, **_: Any
) -> dict[str, Docs]:
    """For lm-eval's own command: `--metadata '{"data": "mini"}'` or a path in place of the hub.

    `limit` and, for one task alone, `split` stand there too. lm-eval's own --limit knows no problem of several rows: it
    cuts through one, and that is refused.
    """
    with _one_line():
        return {"test": Docs(load(bench.name, data, limit, split=split).rows)}


def process_results(bench: Bench, doc: Row, results: Sequence[str]) -> dict[str, Sample]:
    """Grade one reply under the default rule."""
    plain = without_pictures(bench, doc)
    sample = (plain, grade_all(bench, [plain], [[results[0]]], "default")[0][0])
    return dict.fromkeys(("score", *bench.metrics, "parsed"), sample)


def score(bench: Bench, name: str, samples: Sequence[Sample]) -> float:
    """lm-eval aggregation: the bench's score or one of its sub-scores, NaN where no row has an answer."""
    with _one_line():
        found = bench.aggregate([(row, verdict.correct) for row, verdict in samples])
    value = found.score if name == "score" else found.scores.get(name)
    return float("nan") if value is None else value


def parsed(samples: Sequence[Sample]) -> float:
    """lm-eval aggregation: share of replies in which an answer was found."""
    return sum(verdict.parsed for _, verdict in samples) / len(samples)


@contextmanager
def _one_line() -> Iterator[None]:
    """lm-eval's command would show a traceback of what a user can mend."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
