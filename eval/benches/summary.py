"""Several replies a question: their verdicts, and one score with its sub-scores out of them.

The only place that turns verdicts into a score: evaluating, grading recorded replies and regrading all come here.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from eval.benches.bench import Bench
from eval.grading.score import Aggregate, Graded, Row, Rule, Verdict, pass_rates, standard_error


def grade_all(bench: Bench, rows: list[Row], replies: list[list[str]], rule: Rule) -> list[list[Verdict]]:
    """The verdict of every reply: `replies[i]` are the n samples of `rows[i]`. A row without gold has none."""
    verdicts = []
    for row, samples in zip(rows, replies, strict=True):
        graded = [bench.grade(row, reply, rule) for reply in samples]
        verdicts.append(graded if row.get(bench.answer) is not None else [v._replace(correct=None) for v in graded])
    return verdicts


def summary(bench: Bench, rows: list[Row], verdicts: list[list[Verdict]]) -> dict[str, Any]:
    """The score in 0..1 and what it is made of; `verdicts[i]` are the n samples of `rows[i]`.

    `score` and `scores` are means over the samples of the bench's own aggregate (mean@n), `n` counts units
    (questions, problems), not replies. `stderr` is that of the units' means over their samples, clustered. With
    n > 1 `scores` holds pass@k and pass^n over rows. Raises ValueError where the rows differ in their n.
    """
    counts = {len(samples) for samples in verdicts}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"every row needs the same number of replies, at least one; found {sorted(counts)}")
    n = counts.pop()
    # By the number of the sample.
    graded = [[(row, samples[j].correct) for row, samples in zip(rows, verdicts, strict=True)] for j in range(n)]
    totals = [bench.aggregate(sample) for sample in graded]
    means = {name: _mean([total.scores[name] for total in totals]) for name in totals[0].scores}
    everything = [verdict for samples in verdicts for verdict in samples]
    return {
        "score": _mean([total.score for total in totals]),
        "stderr": _error(totals),
        "n": totals[0].n,
        "unit": bench.unit,
        "samples": n,
        "scores": means | _passes(graded),
        "parsed": sum(verdict.parsed for verdict in everything) / len(everything),
        "ungraded": sum(samples[0].correct is None for samples in verdicts),
        "wrappers": dict(Counter(verdict.wrapper for verdict in everything).most_common()),
    }


def standing(bench: Bench, edition: str, n: int, limit: int | None = None) -> str:
    """What a score stands on: only all of the official set is `official`, a part of it `100 of 900`."""
    if edition == "official":
        return edition if n == bench.official_n else f"{n} of {bench.official_n}"
    return edition if limit is None else f"{edition} ({n} {bench.unit})"


def score_text(bench: Bench, edition: str, found: dict[str, Any]) -> str:
    """A summary as a person reads it: `MMMU (mini): 61.7 ± 6.3 over 60 questions, 100 % parsed`."""
    stands = standing(bench, edition, found["n"])
    label = bench.label + (f" ({stands})" if stands != "official" else "")
    parsed = f"{100 * found['parsed']:.0f} % parsed"
    if found["score"] is None:
        return f"{label}: cannot grade, the data holds no answers; {parsed}"
    error = f" ± {100 * found['stderr']:.1f}" if found["stderr"] is not None else ""
    several = f", mean of {found['samples']} samples" if found["samples"] > 1 else ""
    return f"{label}: {100 * found['score']:.1f}{error} over {found['n']} {found['unit']}{several}, {parsed}"


def _mean(values: Sequence[float | int | None]) -> float | int | None:
    """Of the samples that have a value (a rate may have no denominator in one); a single one stays as it is."""
    known = [value for value in values if value is not None]
    return known[0] if len(values) == 1 and known else sum(known) / len(known) if known else None


def _error(totals: Sequence[Aggregate]) -> float | None:
    """The rows' golds are those of every sample, so every sample has the same units in the same order."""
    means = [sum(values) / len(values) for values in zip(*(total.values for total in totals), strict=True)]
    return standard_error(means, totals[0].clusters)


def _passes(graded: Sequence[Graded]) -> dict[str, float]:
    """pass@k and pass^n over the rows with a gold answer, of two samples and more."""
    by_row = [[correct for _, correct in samples] for samples in zip(*graded, strict=True)]
    correct_of_n = [sum(map(bool, samples)) for samples in by_row if samples[0] is not None]
    return pass_rates(correct_of_n, len(graded)) if len(graded) > 1 and correct_of_n else {}
