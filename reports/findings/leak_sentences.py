"""Who leaks, in sentences: all that was found of the first detector, a sentence each of the others."""

from collections.abc import Mapping, Sequence

from reports.findings.differences import differs, turned
from reports.findings.leaking import Leaking, Leaks
from reports.findings.table import interval, points
from reports.findings.words import NAMED, Sentence, evidence, listed, rate, share, size

Labels = Mapping[str, str]


def leak_sentences(found: Sequence[Leaks], labels: Labels) -> list[Sentence]:
    told, quiet = [], list[Leaks]()
    for number, each in enumerate(found):
        if number == 0 or not _compared(each):
            told += _leakage(each, labels)
        elif above := {m: row for m, row in each.rows.items() if row.more and row.more.mean > 0 and differs(row.more)}:
            told.append(_sign(each, above, labels))
        else:
            quiet.append(each)
    if quiet:
        base = labels[str(quiet[0].reference)]
        text = f" measurably more than in {base}'s: replies that " + "; that ".join(each.label for each in quiet) + "."
        told.append(Sentence("In no method's replies", text))
    return told


def _compared(found: Leaks) -> bool:
    return found.reference is not None and len(found.rows) > 1 and found.alike


def _sign(found: Leaks, above: Mapping[str, Leaking], labels: Labels) -> Sentence:
    """Who shows it more than the reference, and how right those replies are."""
    parts = []
    for method, row in sorted(above.items(), key=lambda item: -item[1].rate.mean):
        right = row.right and f"; {share(row.right[0])} of them right, {share(row.right[1])} of the others"
        parts.append(f"{labels[method]} {rate(row.rate)}{right or ''}")
    reference = str(found.reference)
    rest = len(found.rows) - 1 - len(above)
    text = f": {listed(parts)}."
    if rest:
        text += f" The other {rest} not measurably more than {labels[reference]}, {rate(found.rows[reference].rate)}."
    return Sentence(f"Replies that {found.label}", text)


def _leakage(found: Leaks, labels: Labels) -> list[Sentence]:
    if found.reference is None or not _compared(found):
        return _rates(found, labels)
    reference = found.rows[found.reference]
    against = f"{labels[found.reference]}'s"
    told, some, level = [], [], []
    for method, row in sorted(found.rows.items(), key=lambda item: -item[1].rate.mean):
        more = row.more
        if more is None:
            continue
        if not differs(more):
            if sentence := _by_chance(row, reference, f"more than {against}", found.label, labels[method]):
                some.append(sentence)
                continue
            level.append(f"{labels[method]} {rate(row.rate)}")
            continue
        word, lead = ("more", "leaks") if more.mean > 0 else ("less", "leaks less")
        text = (
            f": {rate(row.rate)} of its replies {found.label}, {size(more)} points {word} than {against} "
            f"({evidence(more if more.mean > 0 else turned(more))})."
        )
        told.append(Sentence(f"{labels[method]} {lead}", text + _right(row)))
    if len(told) > NAMED:
        rest = f"{len(told) - NAMED} more methods differ"
        told = [*told[:NAMED], Sentence(rest, f" from {against} rate: see Leakage below.")]
    told += some
    if level:
        lead = "No method" if len(level) == len(found.rows) - 1 else f"None of the other {len(level)}"
        lead = "The other method does not leak" if len(level) == 1 and told else f"{lead} leaks"
        text = (
            f" measurably more than {labels[found.reference]}, of whose replies {rate(reference.rate)} {found.label}: "
        )
        told.append(Sentence(lead, text + listed(level) + "."))
    return told


def _by_chance(row: Leaking, reference: Leaking, more: str, label: str, name: str) -> Sentence | None:
    """Of a method some of whose trainings leak: a test over training again may never tell it from one that does not."""
    bound = reference.rate.high
    leaking = [own.mean for own in row.by_seed if own.low is not None and bound is not None and own.low > bound]
    if not leaking:
        return None
    shares = listed([share(mean) for mean in sorted(leaking, reverse=True)])
    text = f": {shares} of their replies {label}, {more}; over all trainings {rate(row.rate)}."
    return Sentence(f"{name} leaks in {len(leaking)} of {len(row.by_seed)} trainings", text)


def _rates(found: Leaks, labels: Labels) -> list[Sentence]:
    """Rates alone, where there is nothing to hold them against."""
    rates = [f"{labels[method]} {rate(row.rate)}" for method, row in found.rows.items()]
    why = "" if found.alike else " The rows were not asked the same questions, so they are not compared."
    return [Sentence("Leakage", f", replies that {found.label}: {listed(rates)}.{why}")] if rates else []


def _right(row: Leaking) -> str:
    if row.right is None or row.gain is None:
        return ""
    leaking, clean = row.right
    text = f" Of its leaking replies {share(leaking)} are right, of its clean ones {share(clean)}"
    gain = row.gain
    if gain.low is None or gain.high is None:
        return f"{text}."
    unclear = ", so that neither kind can be called more often right" if gain.low <= 0 <= gain.high else ""
    return f"{text} (difference {points(gain.mean)} points, 95 % interval {interval(gain)}){unclear}."
