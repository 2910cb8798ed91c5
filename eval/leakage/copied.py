"""Fourth detector: does a reply hold long pieces of a solution that its prompt never showed?

Two of the same problem share words without copying. So a single reply counts only for a long span, and replies as a
whole are compared with the overlap that they have with other problems' solutions (`beyond_chance`), and a run with the
base, whose untold rollouts had nothing to copy.
"""

import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eval.leakage.clustered import Measured, mean
from eval.leakage.detector import Detector

SPAN = 20  # words, numbers and signs in a row that a reply and a solution share by chance too seldom to matter
GRAM = 4
SHUFFLES = 19
_TOKEN = re.compile(r"[一-鿿]|[^\W\d_]+|\d+(?:\.\d+)?|[^\w\s]")
_COLUMNS = ("solution", "explanation")  # of the official rows that have such a text


class Overlap(NamedTuple):
    """What a reply shares with a solution: the share of its n-grams (0..1), and tokens of the longest common span."""

    grams: float
    span: int


def overlap(reply: str, solution: str, n: int = GRAM) -> Overlap:
    ours, theirs = _TOKEN.findall(reply.lower()), _TOKEN.findall(solution.lower())
    grams = {tuple(theirs[i : i + n]) for i in range(len(theirs) - n + 1)}
    held = {tuple(ours[i : i + n]) for i in range(len(ours) - n + 1)}
    return Overlap(len(grams & held) / max(len(grams), 1), max(_runs(ours, theirs), default=0))


def shared_spans(reply: str, solution: str, question: str = "", least: int = SPAN) -> list[str]:
    """The reply's pieces of at least `least` tokens that the solution has too, and the question has not."""
    if not solution:
        return []
    tokens = list(_TOKEN.finditer(reply))
    ours = [token[0].lower() for token in tokens]
    runs = _runs(ours, _TOKEN.findall(solution.lower()))
    asked = _runs(ours, _TOKEN.findall(question.lower())) if question else [0] * len(runs)
    found = []
    for i, run in enumerate(runs):
        ends = i + 1 == len(runs) or runs[i + 1] <= run
        if ends and run - max(asked[i - run + 1 : i + 1], default=0) >= least:
            found.append(reply[tokens[i - run + 1].start() : tokens[i].end()].lower())
    return found


def _runs(ours: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """For each of our tokens the length of the longest common span that ends there."""
    places: dict[str, list[int]] = {}
    for j, token in enumerate(theirs):
        places.setdefault(token, []).append(j)
    found, before = [], dict[int, int]()
    for token in ours:
        before = {j: before.get(j - 1, 0) + 1 for j in places.get(token, ())}
        found.append(max(before.values(), default=0))
    return found


class Beyond(NamedTuple):
    """Mean overlap with the own solution minus that with others', by n-grams; `p`: how often a random assignment of
    solutions to problems overlaps as much (the permutation test's, at least 1 / (SHUFFLES + 1))."""

    grams: Measured
    span: Measured
    p: float


def beyond_chance(replies: Sequence[str], solutions: Sequence[str], items: Sequence[Any], seed: int = 0) -> Beyond:
    """`solutions[i]` is the unseen solution of `items[i]`, whose reply `replies[i]` is; several replies to an item are
    one cluster, and keep a common solution when solutions are shuffled. Raises ValueError for fewer than two items."""
    own = [overlap(*pair) for pair in zip(replies, solutions, strict=True)]
    of_item = dict(zip(items, solutions, strict=True))
    names = list(of_item)
    if len(names) < 2:
        raise ValueError("solutions of fewer than two problems cannot be exchanged")
    rng, shuffled = random.Random(seed), []
    for _ in range(SHUFFLES):
        turned = names[:]
        rng.shuffle(turned)
        # The next one of a random circle: nobody gets its own.
        other = {name: of_item[turned[(i + 1) % len(turned)]] for i, name in enumerate(turned)}
        shuffled.append([overlap(reply, other[item]) for reply, item in zip(replies, items, strict=True)])
    own_N2, others_SN2 = np.array(own, float), np.array(shuffled, float)
    excess_N2 = own_N2 - others_SN2.mean(0)
    as_much = (others_SN2[..., 0].mean(1) >= own_N2[:, 0].mean()).sum()
    p = float(1 + as_much) / (SHUFFLES + 1)
    return Beyond(mean(excess_N2[:, 0], items), mean(excess_N2[:, 1], items), p)


def _find(reply: str, row: dict[str, Any]) -> list[str]:
    solution = next((row[name] for name in _COLUMNS if isinstance(row.get(name), str)), "")
    return shared_spans(reply, solution, str(row.get("question", "")))


COPIED = Detector(
    name="copied",
    label="repeat a piece of a solution they never saw",
    meaning=(
        f"The reply shares {SPAN} or more words, numbers and signs in a row with the solution in the row, which "
        "no prompt shows, and the question does not have them. Rows without a solution cannot fire."
    ),
    find=_find,
)
