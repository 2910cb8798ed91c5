"""The paper's claims on a suite's own runs, and what they stand on, as Markdown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import StatisticsError, correlation, fmean, stdev

import pandas as pd

from reports.findings.by_seed import EXACT, TRAINING, WRONG_CHAIN, load
from reports.findings.claims import MEANING, Beside, BySeed, Finding, Values, beside, findings
from reports.findings.table import chance
from reports.stats.estimate import Estimate
from reports.suite import paper
from reports.suite.paper import AVERAGE
from reports.writers.tables import md, md_table

CLAIMS = ("Paper", "Claim", "There", "Here (95 % interval)", "Corrected p", "Seeds", "Visible", "Verdict")
BESIDE = ("Row", "Less", "Points (95 % interval)", "Corrected p", "Seeds", "Visible")
BESIDE_NOTE = "Rows that the paper's table does not have, by the same test, corrected over this table."
ROWS = (
    "Method",
    "Seeds",
    "Average",
    "Exact score",
    "Right by a wrong chain",
    "Mentions a reference",
    "Training accuracy at its peak",
    "at its end",
)
ROWS_NOTE = (
    "Percent, means over seeds with their standard deviation. The exact score is the probability of a right chain, "
    "summed over the valid ways (`cli.py exact`). Right by a wrong chain: of the right training replies of the last "
    "ten steps, those that state something wrong on the way. Training accuracy: means of ten steps; of each seed the "
    "peak is where the other seeds are highest."
)
PAIR = (paper.CREDIT, paper.PLAIN)


def claims_text(folders: Sequence[Path]) -> str:
    """The rows by seed, then a line a claim; a method is taken from the first folder that has it. Raises UserError as
    `load`."""
    frames: list[pd.DataFrame] = []
    for folder in folders:
        found = load(folder)
        frames.append(found[~found["method"].isin({m for frame in frames for m in frame["method"]})])
    frame = pd.concat(frames, ignore_index=True)
    table = BySeed(frame)
    parts = [md_table(ROWS, _rows(frame, table)), ROWS_NOTE, _agreement(table)]
    tested = findings(frame)
    lines = [_claim(one, one.found) for one in tested if one.found]
    parts += [md_table(CLAIMS, lines) if lines else "", MEANING]
    if missing := Counter(finding.claim.source for finding in tested if finding.found is None):
        claims = ", ".join(f"{source} ({n})" for source, n in missing.items())
        parts.append(f"Claims that these runs say nothing of: {claims}.")
    if further := beside(frame):
        labels = dict(zip(frame["method"], frame["label"], strict=True))
        parts += [md_table(BESIDE, (_beside(row, labels) for row in further)), BESIDE_NOTE]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rows(frame: pd.DataFrame, table: BySeed) -> Iterable[Sequence[str]]:
    accuracy = f"{TRAINING}accuracy"
    for method, label in dict(zip(frame["method"], frame["label"], strict=True)).items():
        numbers = [table.last(method, number) for number in (AVERAGE, EXACT, WRONG_CHAIN, "leakage mention")]
        numbers += [table.peak(method, accuracy), table.last(method, accuracy)]
        seeds = frame[frame["method"] == method]["seed"].nunique()
        yield (md(f"{label} ({method})"), str(seeds), *map(_spread, numbers))


def _spread(values: Values) -> str:
    numbers = [100 * value for value in values.values()]
    if not numbers:
        return "–"
    return f"{fmean(numbers):.1f}" + (f" (sd {stdev(numbers):.1f})" if len(numbers) > 1 else "")


def _agreement(table: BySeed) -> str:
    """Whether the exact score goes with the sampled one, and what each differs by from seed to seed."""
    runs = [(table.last(m, EXACT), table.last(m, AVERAGE)) for m in table.methods]
    both = [(exact[seed], average[seed]) for exact, average in runs for seed in exact.keys() & average.keys()]
    try:
        agreement = correlation(*zip(*both, strict=True))
    except (StatisticsError, TypeError):
        return ""
    words = f"Over {len(both)} runs the exact score and the average correlate by {agreement:.3f}."
    for number in (EXACT, AVERAGE):
        a, b = (table.last(method, number) for method in PAIR)
        if len(common := a.keys() & b.keys()) > 1:
            spread = 100 * stdev(a[seed] - b[seed] for seed in common)
            words += f" RLSD less GRPO, seed by seed, of the {number}: standard deviation {spread:.2f} points."
    return words


def _claim(finding: Finding, found: Estimate) -> tuple[str, ...]:
    claim = finding.claim
    words = (claim.source, claim.words, claim.paper)
    points = claim.unit == "points"
    value = _value(found, 1 if points else 3, "+" if claim.bound == 0 else "") + ("" if points else f" {claim.unit}")
    return (*words, value, *_certainty(found, finding.visible, 1 if points else 3), finding.verdict)


def _beside(row: Beside, labels: Mapping[str, str]) -> tuple[str, ...]:
    names = (md(f"{labels[row.method]} ({row.method})"), md(labels[row.reference]))
    return (*names, _value(row.found, 1, "+"), *_certainty(row.found, row.visible, 1))


def _value(found: Estimate, digits: int, plus: str) -> str:
    value = f"{found.mean:{plus}.{digits}f}"
    if found.low is not None and found.high is not None:
        value += f" ({found.low:.{digits}f} to {found.high:.{digits}f})"
    return value.replace("-", "−")


def _certainty(found: Estimate, visible: float | None, digits: int) -> tuple[str, str, str]:
    p = "not tested" if found.p is None else chance(found.p).removeprefix("p ").removeprefix("= ")
    return p, str(found.seeds), "–" if visible is None else f"{visible:.{digits}f}"
