"""Solutions that teachers were told, against the student's replies to the same items: are they copied?"""

from typing import Any

from eval.leakage.clustered import Measured
from eval.leakage.copied import beyond_chance
from runners.data.rewards import is_right
from runners.probe.subject import Subject


def copied(subject: Subject) -> dict[str, Any]:
    """`value`: share of the solution's 4-grams in right untold replies, minus that with other items' solutions. Right
    replies alone, because being right is enough to share the numbers; compare with the base's, which saw none."""
    items = [item for item in subject.trained if item.solution and not item.treatment.wrong]
    replies = subject.untold(items)
    pairs = [
        (reply, item.solution or "", item.id)
        for item, group in zip(items, replies, strict=True)
        for reply in group
        if is_right(reply, item.answer)
    ]
    if len({item for *_, item in pairs}) < 2:
        return {"value": Measured(None, None, len(pairs))}
    texts, solutions, names = zip(*pairs, strict=True)
    found = beyond_chance(texts, solutions, names)
    return {"value": found.grams, "span": found.span, "p": found.p}
