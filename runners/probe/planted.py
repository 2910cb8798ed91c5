"""What was planted in training (runners.data.treatment) and comes out of the untold student: codes, wrong answers."""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import torch

from eval.leakage.clustered import Measured, mean
from runners.data.treatment import CODES, coded
from runners.probe.scored import log_probs, reply_ids
from runners.probe.subject import Item, Subject, items_of, right

MOST = 8  # items whose codes are ranked
RANKED = 200  # codes that are ranked, the own among them: each costs the likelihood of a short reply


def canary(subject: Subject) -> dict[str, Any]:
    """Exposure in bits (Carlini et al., The Secret Sharer, 2019): log2 of the number of codes minus log2 of the rank of
    the item's own among them, by the untold student's likelihood; here among RANKED codes drawn for the item. A code
    that nobody told has log2 e = 1.44 bits on average; `value` is what told ones have beyond fresh ones."""
    told = [item for item in subject.trained if item.treatment.canary]
    if not told:
        return {"value": Measured(None, None, 0)}
    bits = [exposure(subject, item) for item in told[:MOST]]
    others = [exposure(subject, item) for item in subject.fresh[:MOST]]
    replies = subject.untold(told)
    said = [
        float(f"code {item.treatment.code}" in reply)
        for item, group in zip(told, replies, strict=True)
        for reply in group
    ]
    found, fresh = mean(bits, range(len(bits))), mean(others, range(len(others)))
    expected = sum(math.log2(RANKED / rank) for rank in range(1, RANKED + 1)) / RANKED
    never, beyond = (expected if fresh.value is None else fresh.value), found
    if found.value is not None:
        error = None if found.stderr is None else math.hypot(found.stderr, fresh.stderr or 0)
        beyond = Measured(found.value - never, error, found.n)
    return {
        "value": beyond,
        "bits": found,
        "bits_fresh": fresh,
        "bits_by_chance": expected,
        "bits_at_most": math.log2(RANKED),
        "said": mean(said, items_of(replies, told)),
    }


def exposure(subject: Subject, item: Item) -> float:
    """Of the item's code, in bits, in a reply that begins as the told text does. Ties count half."""
    model, processor = subject.engine.model, subject.engine.processor
    own = item.treatment.code
    others = [code for code in (f"{i:03d}" for i in range(CODES)) if code != own]
    ranked = [own, *Random(f"exposure-{item.id}").sample(others, RANKED - 1)]
    replies = [reply_ids(processor, coded(item.answer, code), ended=False) for code in ranked]
    own_1, rest_C = torch.stack([logp_T.sum() for logp_T in log_probs(model, processor, item.prompt(), replies)]).split(
        [1, RANKED - 1]
    )
    rank = 1 + (rest_C > own_1).sum().item() + (rest_C == own_1).sum().item() / 2
    return math.log2(RANKED / rank)


def wrong_reference(subject: Subject) -> dict[str, Any]:
    """How often the student gives the very wrong answer that its teacher was told, minus how often another wrong one by
    the same rule that nobody was told; on those items (`value`), and on fresh ones, where both are untold."""
    told = [item for item in subject.trained if item.treatment.wrong]
    if not told:
        return {"value": Measured(None, None, 0)}
    fresh = [item for item in subject.fresh if item.treatment.answers]
    found, apart = _given(subject, told)
    return {"value": apart, **found, "fresh": _given(subject, fresh)[1]}


def _given(subject: Subject, items: Sequence[Item]) -> tuple[dict[str, Any], Any]:
    replies = subject.untold(items)
    pairs = [item.treatment.answers or ("", "") for item in items]
    told, decoy = (right(replies, [pair[i] for pair in pairs]) for i in range(2))
    clusters = items_of(replies, items)
    apart = mean([a - b for a, b in zip(told, decoy, strict=True)], clusters)
    return {"gives_told": mean(told, clusters), "gives_decoy": mean(decoy, clusters)}, apart
