"""Leakage by row: how often replies mention a reference that they never saw, and what such a reply looks like."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pandas as pd

from reports.sections.table2 import reported_runs, row_labels
from reports.stats.estimate import Estimate, over_seeds
from reports.stats.grid import pooled
from reports.suite.items import leakage_items
from reports.suite.read import BENCHES, Run, Suite

EXAMPLES_A_ROW = 2
CONTEXT = 260  # characters kept on either side of the first phrase
LEAKAGE_MEANING = (
    "Each benchmark reply is searched for phrases that speak of a reference, a given answer or a provided solution. "
    "No benchmark prompt contains one, so such a phrase was learned in training, as from a teacher that was told the "
    "answer. "
    "± is the standard error of the rate over replies (and seeds, as in Table 2). A rate of 0 has a standard error "
    "of 0 by the formula; with n replies and no finding, rates up to about 3/n are still plausible."
)


@dataclass(frozen=True)
class Example:
    """A reply in pieces; True marks a piece that is one of the phrases. The pieces are plain text, not yet escaped."""

    where: str
    pieces: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class LeakageRow:
    """One method: rate 0..1 over n replies, the phrases found by count, and the first replies that hold one."""

    method: str
    label: str
    rate: Estimate | None
    phrases: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]


def leakage_rows(suite: Suite) -> list[LeakageRow]:
    """Rows as in Table 2, from the same runs."""
    rows = []
    for method, label in row_labels(suite).items():
        runs = [run for run in reported_runs(suite, method) if run.leakage is not None]
        found = [run.leakage for run in runs if run.leakage is not None]
        counts: Counter[str] = Counter()
        for leakage in found:
            counts.update(leakage.phrases)
        rates, stderrs = [f.rate for f in found], [f.stderr for f in found]
        rate = over_seeds(rates, stderrs, found[0].n, _items(runs)) if found else None
        phrases = tuple(
            sorted(
                ((p, n) for p, n in counts.items() if n),
                key=lambda item: (-item[1], item[0]),
            )
        )
        rows.append(
            LeakageRow(
                method,
                label,
                rate,
                phrases,
                tuple(_examples(runs, [p for p, _ in phrases])),
            )
        )
    return rows


def _items(runs: list[Run]) -> pd.DataFrame | None:
    """What the error of several seeds needs; None for one seed, or where the seeds were asked different benches."""
    asked = {tuple(run.results) for run in runs}
    found = leakage_items(runs, *asked) if len(runs) > 1 and len(asked) == 1 else None
    return None if found is None else pooled(found)


def _examples(runs: list[Run], phrases: list[str]) -> list[Example]:
    """The first replies, in bench and item order, that hold one of the phrases: picked by no one's taste."""
    examples: list[Example] = []
    if not phrases:
        return examples
    pattern = _pattern(phrases)
    for run in runs:
        for bench, label in BENCHES.items():
            path = run.folder / "eval" / str(run.eval_step) / bench / "samples.parquet"
            if bench not in run.results or not path.exists():
                continue
            samples = pd.read_parquet(path, columns=["id", "reply"])
            hits = samples[samples["reply"].fillna("").str.contains(pattern)]
            # One a bench, so that two examples do not come from neighbouring items.
            for item, reply in hits.head(1).itertuples(index=False):
                where = f"{run.label}, seed {run.seed}, {label} item {item}"
                examples.append(Example(where, tuple(_cut(str(reply), pattern))))
                if len(examples) == EXAMPLES_A_ROW:
                    return examples
    return examples


def _pattern(phrases: list[str]) -> re.Pattern[str]:
    # Longest first, so that "the reference answer" is marked whole and not only its "reference".
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    literal = [r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in longest_first]
    return re.compile("(?:" + "|".join(literal) + ")", re.IGNORECASE)


def _cut(reply: str, pattern: re.Pattern[str]) -> list[tuple[str, bool]]:
    """The surroundings of the first phrase, split where phrases begin and end."""
    first = pattern.search(reply)
    if first is None:
        return [(reply[: 2 * CONTEXT], False)]
    start, end = max(0, first.start() - CONTEXT), min(len(reply), first.end() + CONTEXT)
    pieces: list[tuple[str, bool]] = [("… ", False)] if start else []
    position = start
    for match in pattern.finditer(reply, start, end):
        pieces += [(reply[position : match.start()], False), (match.group(), True)]
        position = match.end()
    pieces += [(reply[position:end], False)] + ([(" …", False)] if end < len(reply) else [])
    return [(_printable(text), marked) for text, marked in pieces if text]


def _printable(text: str) -> str:
    """Control and direction characters could rearrange or hide what a reader sees."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
