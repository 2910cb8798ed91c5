"""The verdict: what the numbers say, and what they cannot say, in sentences made from the tests."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.benches import BENCHES
from reports.findings.differences import Differences, differences, differs
from reports.findings.leak_sentences import leak_sentences
from reports.findings.leaking import Leaks, leaks
from reports.findings.table import Column, points
from reports.findings.words import NAMED, Sentence, difference, evidence, listed, share, short, size
from reports.sections.section import Section, template
from reports.stats.power import visible_in
from reports.suite import paper
from reports.suite.read import Run, Suite
from reports.suite.rows import averaged, editions, reported_runs, row_labels, trained_runs


@dataclass(frozen=True)
class Verdict:
    """Sentences on scores, on leakage and on what the data cannot say; `visible` is by column, in 0..1."""

    scores: tuple[Sentence, ...]
    leakage: tuple[Sentence, ...]
    limits: tuple[Sentence, ...]
    found: tuple[Leaks, ...]
    visible: dict[str, float]


def verdict(suite: Suite) -> Verdict:
    data, found = differences(suite), tuple(leaks(suite))
    # Only the average, where there is one: five benches' own verdicts would drown it.
    columns = data.columns[:1] if averaged(suite) else data.columns
    shown = [column for column in columns if data.scores[column.key]]
    seeds = {method: len(reported_runs(suite, method)) for method in row_labels(suite)}
    told = [sentence for column in shown for sentence in _scores(data, column, seeds)]
    visible = visible_in(data.pairs, [column.key for column in shown])
    labels = row_labels(suite)
    return Verdict(
        scores=tuple(told or [_nothing(suite)]),
        leakage=tuple(leak_sentences(found, labels)),
        limits=tuple(_limits(suite, data, found, {c.head: visible[c.key] for c in shown if c.key in visible})),
        found=found,
        visible=visible,
    )


def _nothing(suite: Suite) -> Sentence:
    if not any(run.results for run in suite.runs):
        return Sentence("Nothing to compare yet", ": no run has been evaluated (cli.py eval).")
    return Sentence("Nothing can be compared", ": no evaluation has scores with their replies one by one.")


# --- scores ---------------------------------------------------------------------------------------------------


def _scores(data: Differences, column: Column, seeds: Mapping[str, int]) -> list[Sentence]:
    scores = data.scores[column.key]
    ranked = sorted(scores, key=lambda method: -scores[method])
    where = f"the average of the {len(BENCHES)} benches" if column.key == paper.AVERAGE else column.head
    if len(ranked) == 1:
        text = f" {data.labels[ranked[0]]} has scores, {share(scores[ranked[0]])} on {where}: nothing to compare with."
        return [Sentence("Only", text)]
    trained = [method for method in ranked if method != paper.BASE]
    several = [method for method in trained if seeds[method] > 1]
    leading = several if len(several) > 1 else trained  # a checkpoint is no method's best among methods
    found = [_leader(data, column, leading, where)] if len(leading) > 1 else []
    if {paper.CREDIT, paper.PLAIN} <= set(leading[1:]):  # the paper's question: the leader's sentence leaves it open
        found.append(_leader(data, column, [m for m in trained if m in (paper.CREDIT, paper.PLAIN)], where))
    if lone := [f"{data.labels[m]} ({share(scores[m])})" for m in trained if m not in leading]:
        found.append(Sentence("Not ranked", f" on {where}: {listed(lone)}, of which one checkpoint was trained."))
    if len(trained) > 2:
        found += [_order(data, column, trained, where), _apart(data, column, ranked, where)]
    if paper.BASE in scores:
        found.append(_over_base(data, column, trained, where))
    return found


def _leader(data: Differences, column: Column, ranked: list[str], where: str) -> Sentence:
    first, others = ranked[0], ranked[1:]
    name, score = data.labels[first], share(data.scores[column.key][first])
    found = {other: cell for other in others if (cell := data.between(first, other, column.key))}
    level = {other: cell for other, cell in found.items() if not differs(cell)}
    behind = {other: cell for other, cell in found.items() if differs(cell)}
    if not level:
        closest, cell = next(iter(behind.items()))
        by = f"{size(cell)} points ({evidence(cell)})"
        if len(others) == 1:
            return Sentence(f"{name} beats {data.labels[closest]}", f" on {where}: by {by}.")
        text = f" on {where}, with {score}; the closest, {data.labels[closest]}, is behind by {by}."
        return Sentence(f"{name} beats all {len(others)} other methods", text)
    ties = listed([f"{data.labels[other]} ({difference(cell)})" for other, cell in level.items()])
    if len(others) == 1:
        (other,) = level
        text = f" on {where} ({difference(level[other])}, {name} minus {data.labels[other]})."
        return Sentence(f"{name} and {data.labels[other]} cannot be told apart", text)
    text = f" on {where}: {name} scores highest, {score}, but cannot be told apart from {ties}."
    if behind:
        beaten = [f"{data.labels[m]} by {size(cell)} points ({evidence(cell)})" for m, cell in behind.items()]
        text += f" It beats {listed(beaten)}."
    return Sentence("No single method is best", text)


def _order(data: Differences, column: Column, ranked: list[str], where: str) -> Sentence:
    names = [f"{data.labels[method]} {share(data.scores[column.key][method])}" for method in ranked]
    if len(names) > NAMED + 1:  # one more is as short as its name
        names = [*names[: NAMED - 1], f"{len(names) - NAMED} more", names[-1]]
    return Sentence("In order of score", f" on {where}: {', '.join(names)}.")


def _apart(data: Differences, column: Column, ranked: list[str], where: str) -> Sentence:
    """Of all pairs, the base's too, as they are corrected for together."""
    pairs = [(a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 :]]
    found = [(a, b, cell) for a, b in pairs if (cell := data.between(a, b, column.key))]
    level = [f"{data.labels[a]} and {data.labels[b]} ({difference(cell)})" for a, b, cell in found if not differs(cell)]
    base = ", the base's included and all corrected together" if paper.BASE in ranked else ", all corrected together"
    lead = f"{len(found) - len(level)} of the {len(found)} pairs of rows differ"
    text = f" on {where}{base} (Holm)."
    if len(level) > NAMED:
        return Sentence(lead, f"{text} The others cannot be told apart: see the table of all pairs.")
    return Sentence(lead, text + (f" Not to be told apart: {listed(level)}." if level else ""))


def _over_base(data: Differences, column: Column, trained: list[str], where: str) -> Sentence:
    base = data.labels[paper.BASE]
    found = {m: cell for m in trained if (cell := data.between(m, paper.BASE, column.key))}
    told = {m: f"{data.labels[m]} {points(cell.mean)} ({short(cell)})" for m, cell in found.items()}
    above = [told[m] for m, cell in found.items() if differs(cell) and cell.mean > 0]
    below = [told[m] for m, cell in found.items() if differs(cell) and cell.mean < 0]
    level = [told[m] for m, cell in found.items() if not differs(cell)]
    text = f" on {where}, where {base} has {share(data.scores[column.key][paper.BASE])}. In points over the base, with "
    text += "95 % interval and corrected p: " + "; ".join(
        words + listed(which)
        for words, which in (("", above), ("below it, ", below), ("not to be told apart from it, ", level))
        if which
    )
    many = len(found)
    if len(above) == many:
        lead = f"All {many} trained methods score" if many > 1 else f"{data.labels[trained[0]]} scores"
    elif above:
        lead = f"{len(above)} of {many} trained methods {'score' if len(above) > 1 else 'scores'}"
    else:
        lead = f"None of {many} trained methods scores" if many > 1 else f"{data.labels[trained[0]]} does not score"
    return Sentence(f"{lead} over the base", f"{text}.")


# --- limits ---------------------------------------------------------------------------------------------------


def _limits(suite: Suite, data: Differences, found: Sequence[Leaks], visible: dict[str, float]) -> list[Sentence]:
    evaluated = [run for run in trained_runs(suite) if run.results]
    limits = _seeds(suite) if evaluated else []
    limits += _sets(suite)
    for head, least in visible.items():
        text = (
            f": to be seen here four times in five, a typical pair of rows has to differ by about "
            f"{100 * least:.1f} points or more ({head}). Not to be told apart does not mean equal."
        )
        limits.append(Sentence("Small differences", text))
    reported = [run for method in row_labels(suite) for run in reported_runs(suite, method)]
    for run in reported:
        if not run.finished:
            text = f": its row stands on step {run.eval_step} of {run.steps}, and is no result of its method."
            limits.append(Sentence(f"{run.label} has not finished", text))
    waiting = dict.fromkeys(run.label for run in suite.runs if not reported_runs(suite, run.method))
    if waiting and reported:
        limits.append(Sentence("Not evaluated", f", and so not compared: {listed([*waiting])}."))
    limits += [Sentence("Not compared", f": {text}") for text in data.missing]
    limits += _leakage_limits(reported, found)
    return limits


def _seeds(suite: Suite) -> list[Sentence]:
    counts = {run.label: len(reported_runs(suite, run.method)) for run in trained_runs(suite) if run.results}
    several = {label: n for label, n in counts.items() if n > 1}
    if not several:
        text = ": these differences are of these checkpoints, not of the methods. Trained again, the order may change."
        return [Sentence("One seed", text)]
    if len(several) == len(counts) and len(set(counts.values())) == 1:
        n = next(iter(counts.values()))
        return [Sentence(f"{n} seeds", f" a method: intervals cover training again, as far as {n} seeds can show it.")]
    told = ", ".join(f"{label} {n}" for label, n in counts.items())
    text = f" ({told}): where a method has one, its differences are of that checkpoint, not of the method."
    return [Sentence("Seeds are uneven", text)]


def _sets(suite: Suite) -> list[Sentence]:
    found = editions(suite)
    limits = []
    if any(edition.startswith("mini") for edition in found.values()):
        text = ": drawn stand-ins, small and easy to make. Nothing here carries over to the official sets."
        limits.append(Sentence("Mini benches", text))
    if found and not averaged(suite):
        parts = [f"{BENCHES[bench].label} {edition}" for bench, edition in found.items()]
        missing = [bench.label for name, bench in BENCHES.items() if name not in found]
        text = f": evaluated were {', '.join(parts)}" + (f", and not {', '.join(missing)}" if missing else "")
        text += ". There is one only over all benches, each whole and of one kind."
        limits.append(Sentence("No average", text))
    return limits


def _leakage_limits(reported: list[Run], found: Sequence[Leaks]) -> list[Sentence]:
    unsearched = dict.fromkeys(run.label for run in reported if not run.leakage)
    if reported and len(unsearched) == len({run.label for run in reported}):
        return [Sentence("Leakage was not measured", ": no evaluation here has a leakage result.")]
    limits = [Sentence("Leakage is unknown", f" of {', '.join(unsearched)}: no leakage result.")] if unsearched else []
    for each in found:
        if each.missing:
            text = f" of {', '.join(each.missing)} ({each.detector}): samples.parquet is missing or broken."
            limits.append(Sentence("Leakage cannot be tested", text))
    return limits


def _json(data: Verdict) -> dict[str, Any]:
    def texts(sentences: Sequence[Sentence]) -> list[str]:
        return [sentence.lead + sentence.text for sentence in sentences]

    return {
        "verdict": {
            "scores": texts(data.scores),
            "leakage": texts(data.leakage),
            "limits": texts(data.limits),
            "smallest_visible": data.visible,
            "leaks": {each.detector: asdict(each) for each in data.found},
        }
    }


VERDICT = Section("verdict", verdict, template(__file__), "The verdict", json=_json)
