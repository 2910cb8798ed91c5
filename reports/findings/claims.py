"""What the RLSD paper says of the methods, put to the test on a suite's own runs: training is the population.

A claim is a number that each training seed gives one value of, and the side of a bound on which the paper has it. It
holds where Student's test over the seeds, corrected over all claims (Holm), has it on that side, and does not where the
test has it on the other; else these seeds cannot say. Where every seed gave the same, that decides without a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import inf
from operator import itemgetter
from statistics import fmean

import pandas as pd
from scipy import special

from reports.findings.by_seed import TRAINING
from reports.stats.estimate import Estimate
from reports.stats.significance import holm, student_paired, welch
from reports.suite import paper

HELD, FAILED, OPEN = "held", "not held", "cannot say"
MEANING = (
    "Each seed gives one value; the interval and the test (Student's, or Welch's where two methods have other seeds) "
    "are over training again, on these very questions. p is corrected over all claims of the table (Holm). Visible: "
    "the smallest true difference that so many seeds show four times in five, uncorrected. Training numbers are means "
    "of ten steps, on questions that are drawn anew and so unseen where the data do not repeat."
)
SEEDS = 2  # below, nothing is tested

Values = dict[int, float]  # by seed


@dataclass(frozen=True)
class Claim:
    """`sign` +1 or -1: the side of `bound` on which the paper has the number; `unit` is what it is printed in."""

    source: str
    words: str
    paper: str
    sign: int
    values: Callable[[Table], tuple[Values, Values | None]]  # one value a seed; or two sides, whose difference it is
    bound: float = 0.0
    unit: str = "points"


@dataclass(frozen=True)
class Finding:
    """`found` less the bound decides; it is None, as `verdict` then says, where no seed has the number."""

    claim: Claim
    found: Estimate | None
    visible: float | None
    verdict: str


class Table:
    """The long table of by_seed, looked up."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._values: dict[tuple[str, str], dict[int, Values]] = {}
        for row in frame.to_dict("records"):
            steps = self._values.setdefault((row["method"], row["number"]), {})
            steps.setdefault(row["step"], {})[row["seed"]] = row["value"]

    def series(self, method: str, number: str, until: float = inf) -> list[Values]:
        """By step, the steps that all seeds have."""
        steps = self._values.get((method, number), {})
        seeds = {seed for values in steps.values() for seed in values}
        return [steps[step] for step in sorted(steps) if steps[step].keys() == seeds and step <= until]

    def last(self, method: str, number: str) -> Values:
        return next(reversed(self.series(method, number)), {})

    def first(self, method: str, number: str) -> Values:
        return next(iter(self.series(method, number)), {})

    def peak(self, method: str, number: str) -> Values:
        """Of each seed the value at the step where the *other* seeds are highest: no seed picks its own luck."""
        series, found = self.series(method, number), {}
        for seed in self.last(method, number):
            others = [[value for s, value in values.items() if s != seed] for values in series]
            if all(others):
                found[seed] = max(zip(map(fmean, others), series, strict=True), key=itemgetter(0))[1][seed]
        return found

    def mean(self, method: str, number: str, until: int) -> Values:
        series = self.series(method, number, until)
        return {seed: fmean(values[seed] for values in series) for seed in next(iter(series), {})}


def _order() -> list[Claim]:
    """Each pair of rows of Table 2, by the averages."""
    found = []
    at = paper.COLUMNS.index(paper.AVERAGE)
    rows = [(method, numbers[at]) for method, numbers in paper.PERCENT.items()]
    for (a, of_a), (b, of_b) in combinations(sorted(rows, key=lambda row: -row[1]), 2):
        words = f"{paper.LABELS[a]} scores above {paper.LABELS[b]}"
        found.append(
            Claim("Table 2", words, f"+{of_a - of_b:.2f}", 1, lambda t, a=a, b=b: _sides(t, a, b))  # type: ignore[misc]
        )
    return found


def _sides(table: Table, a: str, b: str) -> tuple[Values, Values | None]:
    """Average scores in points; the base is one model and no training: it is taken as exact."""
    ours, theirs = ({s: 100 * v for s, v in table.last(m, paper.AVERAGE).items()} for m in (a, b))
    if b != paper.BASE:
        return ours, theirs
    base = fmean(theirs.values()) if theirs else None
    return ({} if base is None else {seed: value - base for seed, value in ours.items()}), None


def _change(method: str, number: str, since: str) -> Callable[[Table], tuple[Values, Values | None]]:
    """The last value less the first one or the peak's, in points."""

    def values(table: Table) -> tuple[Values, Values | None]:
        before = getattr(table, since)(method, number)
        after = table.last(method, number)
        return {seed: 100 * (after[seed] - before[seed]) for seed in after.keys() & before.keys()}, None

    return values


def _kept(table: Table, method: str) -> Values:
    """The last divergence in percent of the first."""
    first, last = (at(method, f"{TRAINING}divergence") for at in (table.first, table.last))
    return {seed: 100 * value / first[seed] for seed, value in last.items()}


def _at_the_end(method: str, number: str) -> Callable[[Table], tuple[Values, Values | None]]:
    return lambda table: ({seed: 100 * value for seed, value in table.last(method, number).items()}, None)


def _claims() -> list[Claim]:
    accuracy, leakage = f"{TRAINING}accuracy", f"{TRAINING}leakage"
    entropy, clipped = f"{TRAINING}entropy", f"{TRAINING}clip_rate_of_all"
    label = paper.LABELS
    early = lambda table: ({s: 100 * v for s, v in table.mean("rlsd", clipped, 40).items()}, None)  # noqa: E731
    return [
        *_order(),
        Claim("Figure 1a", "OPSD ends below its peak", "rises, then declines", -1, _change("opsd", accuracy, "peak")),
        Claim("Figure 1a", "OPSD ends above its start", "early gain", 1, _change("opsd", accuracy, "first")),
        Claim("Figure 1a", "RLSD ends above its start", "keeps rising", 1, _change("rlsd", accuracy, "first")),
        *(
            Claim("Figure 1b", f"{label[m]}'s leakage rises", "rises", 1, _change(m, leakage, "first"))
            for m in ("opsd", "sdpo")
        ),
        *(
            Claim("Figure 1b", f"{label[m]} leaks in less than 1 % of its replies", "none", -1,
                  _at_the_end(m, "leakage mention"), 1.0)
            for m in ("grpo", "rlsd")
        ),
        Claim("Figure 3c", "OPSD keeps more of its first divergence than OPD of its own", "plateau against decline", 1,
              lambda t: (_kept(t, "opsd"), _kept(t, "opd"))),
        Claim("Figure 5b", "RLSD keeps more entropy than GRPO", "higher", 1,
              lambda t: (t.last("rlsd", entropy), t.last("grpo", entropy)), unit="nats"),
        Claim("Figure 5c", "RLSD clips more than 3 % of its tokens (steps 1 to 40)", "3 to 6 %", 1, early, 3.0),
        Claim("Figure 5c", "RLSD clips less than 6 % of its tokens (steps 1 to 40)", "3 to 6 %", -1, early, 6.0),
    ]  # fmt: skip


def findings(frame: pd.DataFrame) -> list[Finding]:
    """Every claim, in the paper's order, on a table of by_seed."""
    table = Table(frame)
    tested = [(claim, *_tested(*claim.values(table), claim.bound)) for claim in _claims()]
    corrected = holm([p for _, _, p in tested])
    return [_finding(claim, found, p) for (claim, found, _), p in zip(tested, corrected, strict=True)]


def _tested(a: Values, b: Values | None, bound: float) -> tuple[Estimate | None, float | None]:
    """The mean less the bound, with its interval, and p of its being none."""
    if not a or b == {}:
        return None, None
    seeds = sorted(a)
    if b is None or a.keys() == b.keys():
        return student_paired([a[s] for s in seeds], [bound if b is None else b[s] for s in seeds])
    return welch(list(a.values()), list(b.values()))


def _finding(claim: Claim, found: Estimate | None, p: float | None) -> Finding:
    if found is None:
        return Finding(claim, None, None, "not run")
    alike = p is None and found.seeds >= SEEDS and found.mean != 0  # every seed gave the same: nothing to test
    verdict = OPEN
    if alike or (p is not None and p < 0.05):
        verdict = HELD if found.mean * claim.sign > 0 else FAILED
    shown = Estimate(
        found.mean + claim.bound,
        found.stderr,
        None,
        found.seeds,
        None if found.low is None else found.low + claim.bound,
        None if found.high is None else found.high + claim.bound,
        found.covers,
        p,
    )
    return Finding(claim, shown, None if found.stderr is None else visible(found.stderr, found.seeds), verdict)


def visible(stderr: float, seeds: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that a two-sided Student test over so many seeds, of this standard error, finds with `power`,
    in the usual approximation: the two quantiles' sum."""
    df = seeds - 1
    return float((special.stdtrit(df, 1 - alpha / 2) + special.stdtrit(df, power)) * stderr)
