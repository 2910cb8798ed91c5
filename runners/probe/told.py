"""What being told is worth: accuracy and likelihood of replies with a right, a wrong, no reference, and with "?"."""

from typing import Any

from eval.leakage.clustered import mean
from methods import Context
from methods.words import context
from runners.probe.scored import log_probs, reply_ids
from runners.probe.subject import Item, Subject, items_of, right


def contexts(item: Item) -> dict[str, Context | None]:
    wrong = item.treatment.answers[0] if item.treatment.answers else "?"
    return {
        "none": None,
        "right": context("answer", item.answer),
        "wrong": context("answer", wrong),
        "blank": context("answer", "?"),
    }


def told_gap(subject: Subject) -> dict[str, Any]:
    """Accuracy under each reference; how often the wrong one is followed; mean log P(told) - log P(untold) a token of
    the untold replies. `value` is the accuracy told right minus untold."""
    items = subject.fresh or subject.trained
    told = [contexts(item) for item in items]
    replies = {"none": subject.untold(items)} | {
        kind: subject.replies([item.prompt(t[kind]) for item, t in zip(items, told, strict=True)])
        for kind in ("right", "wrong", "blank")
    }
    answers = [item.answer for item in items]
    scores = {kind: right(found, answers) for kind, found in replies.items()}
    clusters = items_of(replies["none"], items)
    followed = right(replies["wrong"], [_wrong(item) for item in items])
    return {
        "value": mean([a - b for a, b in zip(scores["right"], scores["none"], strict=True)], clusters),
        **{f"accuracy_{kind}": mean(score, clusters) for kind, score in scores.items()},
        "follows_wrong": mean(followed, clusters),
        **_deltas(subject, items, told, replies["none"]),
    }


def _wrong(item: Item) -> str:
    return item.treatment.answers[0] if item.treatment.answers else "?"


def _deltas(subject: Subject, items: Any, told: Any, untold: list[list[str]]) -> dict[str, Any]:
    model, processor = subject.engine.model, subject.engine.processor
    found: dict[str, list[float]] = {"right": [], "wrong": [], "blank": []}
    for item, contexts_of, replies in zip(items, told, untold, strict=True):
        ids = [reply_ids(processor, reply) for reply in replies]
        plain = log_probs(model, processor, item.prompt(), ids)
        for kind, deltas in found.items():
            heard = log_probs(model, processor, item.prompt(contexts_of[kind]), ids)
            deltas += [(a - b).mean().item() for a, b in zip(heard, plain, strict=True)]
    clusters = items_of(untold, items)
    return {f"delta_{kind}": mean(deltas, clusters) for kind, deltas in found.items()}
