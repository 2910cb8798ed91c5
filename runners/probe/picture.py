"""Does the model look? Accuracy with the own picture, with grey ones of the same size, and with another item's."""

from typing import Any

from PIL import Image

from eval.leakage.clustered import mean
from runners.probe.subject import Subject, items_of, right

GREY = (128, 128, 128)


def no_picture(subject: Subject) -> dict[str, Any]:
    """`value`: accuracy with the own pictures minus that with another item's."""
    items = [item for item in subject.fresh or subject.trained if item.pictures]
    shown: dict[str, list[Any]] = {
        "grey": [[Image.new("RGB", picture.size, GREY) for picture in item.pictures] for item in items],
        # As many as the question has places for: those of the next items, in a circle.
        "other": [
            [items[(i + 1) % len(items)].pictures[j % len(items[(i + 1) % len(items)].pictures)] for j in range(n)]
            for i, n in enumerate(len(item.pictures) for item in items)
        ],
    }
    answers, own = [item.answer for item in items], subject.untold(items)
    scores, clusters = {"own": right(own, answers)}, items_of(own, items)
    for kind, pictures in shown.items():
        replies = subject.replies([item.prompt(pictures=p) for item, p in zip(items, pictures, strict=True)])
        scores[kind] = right(replies, answers)
    return {
        "value": mean([a - b for a, b in zip(scores["own"], scores["other"], strict=True)], clusters),
        **{f"accuracy_{kind}": mean(score, clusters) for kind, score in scores.items()},
    }
