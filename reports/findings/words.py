"""Numbers and lists in the sentences of the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reports.findings.table import chance, interval, points
from reports.stats.estimate import Estimate

NAMED = 6  # rows that a sentence names one by one before it only counts them


@dataclass(frozen=True)
class Sentence:
    """`lead` is what a reader in a hurry takes away; `text` begins with its space or punctuation."""

    lead: str
    text: str


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def size(found: Estimate) -> str:
    return f"{100 * abs(found.mean):.1f}"


def short(found: Estimate) -> str:
    """Where words before it say what stands here."""
    return chance(found.p) if found.low is None else f"{interval(found)}, {chance(found.p)}"


def evidence(found: Estimate) -> str:
    reach = "" if found.low is None else f"95 % interval {interval(found)}, "
    return reach + ("" if found.p is None else "corrected ") + chance(found.p)


def difference(found: Estimate) -> str:
    return f"difference {points(found.mean)} points, {evidence(found)}"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`, and beyond a handful only how many more; `a, x; b; and c` where a part has a comma of its own."""
    if len(parts) > NAMED:
        parts = [*parts[: NAMED - 1], f"{len(parts) - NAMED + 1} more"]
    apart = any("," in re.sub(r"\(.*?\)", "", part) for part in parts)
    between, last = ("; ", "; and ") if apart else (", ", " and ")
    return last.join([between.join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def rate(found: Estimate) -> str:
    """`9.3 % (95 % interval 6.6 to 13.0)`; of a rate of 0, how high it may still be."""
    mean = share(found.mean)
    if found.low is None or found.high is None:
        return mean
    if found.mean == 0:
        return f"{mean} (none of {found.n}: at most {share(found.high)})"
    return f"{mean} (95 % interval {interval(found)})"
