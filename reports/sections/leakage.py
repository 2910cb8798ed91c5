"""Leakage by row: how often replies mention a reference that they never saw, how right they are, and what they read."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import pandas as pd

from eval.benches import BENCHES
from eval.core.terminal import plain
from reports.figures.axes import Drawing
from reports.figures.intervals import Intervals, Line
from reports.figures.lines import Lines
from reports.figures.looks import looks
from reports.figures.scatter import Point, Scatter
from reports.findings.leaking import Leaks, leaks
from reports.findings.measured import Measured, probes
from reports.findings.table import Column, Row, Table, numbers
from reports.sections.dynamics import dynamics
from reports.sections.section import Section, template
from reports.sections.table2 import tables
from reports.stats.estimate import Estimate, over_seeds
from reports.stats.grid import pooled
from reports.suite import paper
from reports.suite.items import leakage_items, stored
from reports.suite.read import Run, Suite
from reports.suite.rows import reported_runs, row_labels

EXAMPLES_A_ROW = 2
PHRASES, PHRASE = 6, 60  # that are listed, and characters of each
CONTEXT = 260  # characters kept on either side of the first phrase
RATE_MEANING = (
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
    phrases: dict[str, int]
    examples: tuple[Example, ...]

    @property
    def told(self) -> str:
        """The phrases in a sentence, the most frequent first."""
        cut = ((p if len(p) <= PHRASE else f"{p[: PHRASE - 1]}…", count) for p, count in self.phrases.items())
        shown = [f"“{plain(phrase)}” ({count})" for phrase, count in cut]
        more = f", and {len(shown) - PHRASES} more" if len(shown) > PHRASES else ""
        return f"Phrases (replies): {', '.join(shown[:PHRASES])}{more}."


@dataclass(frozen=True)
class Detected:
    """What one detector found, in rows as in Table 2. Its words come from the evaluations."""

    name: str
    label: str
    meaning: str
    rows: tuple[LeakageRow, ...]
    leaks: Leaks
    accuracy: Mapping[str, Estimate]
    training: Lines | None
    stderr: str = RATE_MEANING

    @property
    def chart(self) -> Intervals | None:
        """The rates with their intervals, where replies can be read one by one; else with what the rows recorded."""
        look, found = looks([row.method for row in self.rows]), self.leaks.rows
        rates = [(row, found[row.method].rate if row.method in found else row.rate) for row in self.rows]
        lines = tuple(Line(row.label, look[row.method], rate) for row, rate in rates if rate is not None)
        head = f"Replies that {self.label}"
        return Intervals(((head, lines),), "% of benchmark replies, 95 % interval") if lines else None

    @property
    def leakiest(self) -> str:
        """The row whose finds are open when the page is."""
        return max(self.rows, key=lambda row: row.rate.mean if row.rate else 0.0).method

    @property
    def scatter(self) -> Scatter | None:
        look, found = looks([row.method for row in self.rows]), self.leaks.rows
        points = tuple(
            Point(row.label, look[row.method], found[row.method].rate, self.accuracy[row.method])
            for row in self.rows
            if row.method in found and row.method in self.accuracy
        )
        return Scatter(points, "% of replies that leak", "score, % (average of the benches)") if points else None


@dataclass(frozen=True)
class LeakageFound:
    """What was found in replies, by detector, and what probes of the models found."""

    detected: list[Detected]
    probes: Measured | None


def leakage(suite: Suite) -> list[Detected]:
    """One a detector that any run was searched by, in the order of the evaluations' files."""
    meanings = {name: found.meaning for run in suite.runs for name, found in run.leakage.items()}
    scores = {row.method: row.cells[paper.AVERAGE] for row in tables(suite).ours.rows}
    accuracy = {method: cell for method, cell in scores.items() if cell is not None}
    training = next((lines for panel, lines in dynamics(suite).panels if panel.key == "leakage"), None)
    labels = row_labels(suite).items()
    return [
        Detected(
            each.detector,
            each.label,
            meanings[each.detector],
            tuple(_row(suite, method, label, each.detector) for method, label in labels),
            each,
            accuracy,
            training if number == 0 else None,  # what training searches by is the first detector
        )
        for number, each in enumerate(leaks(suite))
    ]


def _row(suite: Suite, method: str, label: str, detector: str) -> LeakageRow:
    runs = [run for run in reported_runs(suite, method) if detector in run.leakage]
    found = [run.leakage[detector] for run in runs]
    rates, stderrs = [f.rate for f in found if f.rate is not None], [f.stderr for f in found]
    rate = over_seeds(rates, stderrs, found[0].n, _items(runs, detector)) if found else None
    counts = sum((Counter(f.phrases) for f in found), Counter[str]())  # drops what was counted 0 times
    phrases = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    examples = islice(_examples(runs, detector, list(phrases)), EXAMPLES_A_ROW)
    return LeakageRow(method, label, rate, phrases, tuple(examples))


def _items(runs: list[Run], detector: str) -> pd.DataFrame | None:
    """What the error of several seeds needs; None for one seed, or where the seeds were asked different benches."""
    asked = {tuple(run.results) for run in runs}
    if len(runs) < 2 or len(asked) > 1:
        return None
    found = leakage_items(runs, asked.pop(), detector)
    return None if found is None else pooled(found)


def _examples(runs: list[Run], detector: str, phrases: list[str]) -> Iterator[Example]:
    """The first reply of each bench with a find, in the order of runs and benches: picked by no one's taste."""
    pattern = _pattern(phrases)
    for run in runs:
        for bench, result in run.results.items():
            found = result.leakage[detector].found if detector in result.leakage else []
            samples = stored(run.samples / bench / "samples.parquet", ["id", "reply"]) if found else None
            if samples is not None:
                sample = samples.iloc[found[0]]
                where = f"{run.label}, seed {run.seed}, {BENCHES[bench].label} item {sample['id']}"
                yield Example(where, tuple(_cut(str(sample["reply"]), pattern)))


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
    return [(plain(text), marked) for text, marked in pieces if text]


def _table(data: list[Detected]) -> Table:
    """One column a detector."""
    rates = {d.name: {row.method: row.rate for row in d.rows} for d in data}
    return Table(
        title="Benchmark replies in which a leakage detector found something, percent",
        columns=tuple(
            Column(d.name, f"Leakage {d.name}", help=f"Leakage {d.name}: % of replies that {d.label}.") for d in data
        ),
        rows=tuple(
            Row(row.method, row.label, {name: rate[row.method] for name, rate in rates.items()}) for row in data[0].rows
        ),
        meaning=" ".join([*(d.meaning for d in data), RATE_MEANING]),
        of=("detector", "rate"),
    )


def _json(data: LeakageFound) -> dict[str, Any]:
    return {
        "probes": data.probes.json() if data.probes else {},
        "leakage": {
            d.name: {
                **{key: getattr(d, key) for key in ("name", "label", "meaning", "stderr")},
                "rows": [{**asdict(row), "rate": numbers(row.rate)} for row in d.rows],
            }
            for d in data.detected
        },
    }


def _figures(data: LeakageFound) -> dict[str, Drawing]:
    charts = {f"leakage_evaluated_{d.name}": d.chart for d in data.detected}
    against = {f"leakage_and_score_{d.name}": d.scatter for d in data.detected}
    return {name: drawing for name, drawing in {**charts, **against}.items() if drawing}


LEAKAGE = Section(
    "leakage",
    lambda suite: LeakageFound(leakage(suite), probes(suite)),
    template(__file__),
    "Leakage",
    json=_json,
    tables=lambda data: [_table(data.detected)] if data.detected else [],
    figures=_figures,
)
