"""What the RLSD paper says of the methods, put to the test on a suite's own runs: training is the population.

A claim is a number that each training seed gives one value of, and the side of a bound on which the paper has it. It
holds where Student's test over the seeds, corrected over all claims (Holm), has it on that side, and does not where the
test has it on the other; else these seeds cannot say. Where every seed gave the same, that decides without a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf
from operator import itemgetter
from statistics import fmean

import pandas as pd
from scipy import special

from reports.findings.by_seed import TRAINING
from reports.stats.estimate import Estimate
from reports.stats.significance import PAIRING, between_trainings, holm, student
from reports.suite import paper

HELD, FAILED, OPEN = "held", "not held", "cannot say"
MEANING = (
    "Each seed gives one value; the interval and the test are over training again, on these very questions: "
    f"{PAIRING}. p is corrected over all claims (Holm). Visible: the smallest true difference that so many seeds show "
    "four times in five, uncorrected. Training numbers are means of ten steps, on questions that are "
    "drawn anew and so unseen where the data do not repeat."
)

Values = dict[int, float]  # by seed
Sides = tuple[Values, Values | None]  # one value a seed; or two sides, whose difference it is


@dataclass(frozen=True)
class Claim:
    """`sign` +1 or -1: the side of `bound` on which the paper has the number; `unit` is what it is printed in."""

    source: str
    words: str
    paper: str
    sign: int
    values: Callable[[BySeed], Sides]
    bound: float = 0.0
    unit: str = "points"


@dataclass(frozen=True)
class Finding:
    """`found` less the bound decides; it is None, as `verdict` then says, where no seed has the number."""

    claim: Claim
    found: Estimate | None
    visible: float | None
    verdict: str


class BySeed:
    """The long table of by_seed, looked up."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._values: dict[tuple[str, str], dict[int, Values]] = {}
        for row in frame.to_dict("records"):
            steps = self._values.setdefault((row["method"], row["number"]), {})
            steps.setdefault(row["step"], {})[row["seed"]] = row["value"]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(method for method, _ in self._values))

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


def _sides(table: BySeed, a: str, b: str) -> Sides:
    """Average scores in points; the base is one model and no training: it is taken as exact."""
    ours, theirs = ({s: 100 * v for s, v in table.last(m, paper.AVERAGE).items()} for m in (a, b))
    if b != paper.BASE:
        return ours, theirs
    base = fmean(theirs.values()) if theirs else None
    return ({} if base is None else {seed: value - base for seed, value in ours.items()}), None


def _change(method: str, number: str, since: str) -> Callable[[BySeed], Sides]:
    """The last value less the first one or the peak's, in points."""

    def values(table: BySeed) -> Sides:
        before = getattr(table, since)(method, number)
        after = table.last(method, number)
        return {seed: 100 * (after[seed] - before[seed]) for seed in after.keys() & before.keys()}, None

    return values


def _kept(table: BySeed, method: str) -> Values:
    """The last divergence in percent of the first."""
    first, last = (at(method, f"{TRAINING}divergence") for at in (table.first, table.last))
    return {seed: 100 * value / first[seed] for seed, value in last.items()}


def _at_the_end(method: str, number: str) -> Callable[[BySeed], Sides]:
    return lambda table: ({seed: 100 * value for seed, value in table.last(method, number).items()}, None)


def _leaking(table: BySeed, a: str, b: str) -> Sides:
    """Of the training replies of the first 100 steps, in percent."""
    ours, theirs = ({s: 100 * v for s, v in table.mean(m, f"{TRAINING}leakage", 100).items()} for m in (a, b))
    return ours, theirs


def _of_peak(method: str) -> Callable[[BySeed], Sides]:
    """The last held-out average in percent of the peak's."""

    def values(table: BySeed) -> Sides:
        peak, last = (at(method, paper.AVERAGE) for at in (table.peak, table.last))
        return {seed: 100 * last[seed] / peak[seed] for seed in last.keys() & peak.keys()}, None

    return values


def _over_training(method: str, values: Callable[[BySeed], Sides]) -> Callable[[BySeed], Sides]:
    """`values` where the method was evaluated at three steps or more: with fewer nothing is stable or not."""
    return lambda table: values(table) if len(table.series(method, paper.AVERAGE)) > 2 else ({}, None)


# Stable, improving, free of leaks, as the paper's Table 3 has them; None: Table 2 and Figure 1b say it already.
TRILEMMA = {
    paper.TOLD: (True, False, False),
    paper.ONLINE: (False, True, False),
    paper.CREDIT: (True, None, None),
}


def _trilemma() -> Iterator[Claim]:
    for method, says in TRILEMMA.items():
        label = paper.LABELS.get(method, f"{paper.LABELS[paper.TOLD]} (online)")
        tests = (
            ("ends above 90 % of its held-out peak", 1, _of_peak(method), 90.0),
            ("ends above the base", 1, lambda t, m=method: _sides(t, m, paper.BASE), 0.0),
            ("leaks in less than 1 % of its replies", -1, _at_the_end(method, "leakage mention"), 1.0),
        )
        for (words, sign, values, bound), holds in zip(tests, says, strict=True):
            if holds is not None:
                sides, side = _over_training(method, values), sign if holds else -sign
                yield Claim("Table 3", f"{label} {words}", "yes" if holds else "no", side, sides, bound)


def _claims() -> list[Claim]:
    accuracy, leakage = f"{TRAINING}accuracy", f"{TRAINING}leakage"
    entropy, clipped = f"{TRAINING}entropy", f"{TRAINING}clip_rate_of_all"
    label = paper.LABELS
    early = lambda table: ({s: 100 * v for s, v in table.mean(paper.CREDIT, clipped, 40).items()}, None)  # noqa: E731
    return [
        *_order(),
        Claim("Figure 1a", "OPSD ends below its peak", "then declines", -1, _change(paper.TOLD, accuracy, "peak")),
        Claim("Figure 1a", "OPSD ends above its start", "early gain", 1, _change(paper.TOLD, accuracy, "first")),
        Claim("Figure 1a", "RLSD ends above its start", "keeps rising", 1, _change(paper.CREDIT, accuracy, "first")),
        *(
            Claim("Figure 1b", f"{label[m]}'s leakage rises", "rises", 1, _change(m, leakage, "first"))
            for m in (paper.TOLD, paper.SHOWN)
        ),
        *(
            Claim("Figure 1b", f"{label[m]} leaks in less than 1 % of its replies", "none", -1,
                  _at_the_end(m, "leakage mention"), 1.0)
            for m in (paper.PLAIN, paper.CREDIT)
        ),
        Claim("Figure 3a", "OPSD of the teacher's likeliest token leaks more than OPSD", "most", 1,
              lambda t: _leaking(t, paper.TEACHER_TOP, paper.TOLD)),
        Claim("Figure 3a", "OPSD leaks more than OPSD of the student's likeliest token", "least", 1,
              lambda t: _leaking(t, paper.TOLD, paper.STUDENT_TOP)),
        *(
            Claim("Figure 3c", f"OPSD keeps more of its first divergence than OPD {which}", "plateau against decline",
                  1, lambda t, m=method: (_kept(t, paper.TOLD), _kept(t, m)))  # type: ignore[misc]
            for method, which in ((paper.EXTERNAL, "of its own"), (paper.ALIKE, "of the same one"))
        ),
        Claim("Figure 5b", "RLSD keeps more entropy than GRPO", "higher", 1,
              lambda t: (t.last(paper.CREDIT, entropy), t.last(paper.PLAIN, entropy)), unit="nats"),
        Claim("Figure 5c", "RLSD clips more than 3 % of its tokens (steps 1 to 40)", "3 to 6 %", 1, early, 3.0),
        Claim("Figure 5c", "RLSD clips less than 6 % of its tokens (steps 1 to 40)", "3 to 6 %", -1, early, 6.0),
        *_trilemma(),
    ]  # fmt: skip


def findings(frame: pd.DataFrame) -> list[Finding]:
    """Every claim, in the paper's order, on a table of by_seed."""
    table = BySeed(frame)
    tested = [(claim, *_tested(*claim.values(table), claim.bound)) for claim in _claims()]
    corrected = holm([p for _, _, p in tested])
    return [_finding(claim, found, p) for (claim, found, _), p in zip(tested, corrected, strict=True)]


@dataclass(frozen=True)
class Beside:
    """The average of `method`, no row of the paper's, less that of `reference`, in points."""

    method: str
    reference: str
    found: Estimate
    visible: float | None


def beside(frame: pd.DataFrame) -> list[Beside]:
    """Every method or variant that is no row of Table 2 against GRPO, RLSD and their variants of the same name:
    controls, ablations, other schedules. p is corrected over all of them."""
    table = BySeed(frame)
    pairs = [
        (method, reference)
        for method in table.methods
        if method not in paper.PERCENT
        for reference in _references(*method.split("@"))
        if reference != method
    ]
    tested = [(pair, *_tested(*_sides(table, *pair), 0.0)) for pair in pairs]
    corrected = holm([p for *_, p in tested])
    return [
        Beside(*pair, replace(found, p=p), None if found.stderr is None else visible(found.stderr, found.seeds))
        for (pair, found, _), p in zip(tested, corrected, strict=True)
        if found
    ]


def _references(method: str, *variant: str) -> list[str]:
    """Of two that differ in the method alone, each is not the other's: GRPO's variants are RLSD's references."""
    alike = ["@".join([reference, *variant]) for reference in (paper.PLAIN, paper.CREDIT) if method != paper.PLAIN]
    return list(dict.fromkeys([paper.PLAIN, paper.CREDIT, *alike]))


def _tested(a: Values, b: Values | None, bound: float) -> tuple[Estimate | None, float | None]:
    """The mean less the bound, with its interval, and p of its being none."""
    if not a or b == {}:
        return None, None
    return student([a[seed] - bound for seed in sorted(a)]) if b is None else between_trainings(a, b)


def _finding(claim: Claim, found: Estimate | None, p: float | None) -> Finding:
    if found is None:
        return Finding(claim, None, None, "not run")
    alike = p is None and found.seeds > 1 and found.mean != 0  # every seed gave the same: nothing to test
    verdict = OPEN
    if alike or (p is not None and p < 0.05):
        verdict = HELD if found.mean * claim.sign > 0 else FAILED
    low, high = (None if end is None else end + claim.bound for end in (found.low, found.high))
    shown = replace(found, mean=found.mean + claim.bound, low=low, high=high, p=p)
    return Finding(claim, shown, None if found.stderr is None else visible(found.stderr, found.seeds), verdict)


def visible(stderr: float, seeds: int) -> float:
    """The true difference that a two-sided Student test (5 %) over so many seeds, of this standard error, finds four
    times in five, in the usual approximation: the two quantiles' sum."""
    return float((special.stdtrit(seeds - 1, 0.975) + special.stdtrit(seeds - 1, 0.8)) * stderr)
