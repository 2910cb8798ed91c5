"""Who is examined: a loaded checkpoint that is asked, and the items that it was trained on and others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from eval.core.images import Picture
from eval.engines.requests import Question
from methods import Context
from runners.data.prompts import MARKER, student_text, told_text
from runners.data.rewards import is_right
from runners.data.rows import read_rows
from runners.data.treatment import Treatment, treatment
from runners.probe.scored import Turn, rendered
from runners.run.config import Settings


class Item(NamedTuple):
    """A question as it was trained on or might have been; `treatment` says what its teachers were told, or would."""

    id: str
    text: str
    pictures: Sequence[Any]
    answer: str
    solution: str | None
    treatment: Treatment

    def prompt(self, told: Context | None = None, pictures: Sequence[Any] | None = None) -> Turn:
        """The student's, or a told one's, or with other pictures (none of them: the text names none)."""
        text = self.text if told is None else told_text(self.text, told)
        shown = self.pictures if pictures is None else pictures
        return Turn(text if shown else text.replace(MARKER, "image"), shown)


@dataclass(frozen=True)
class Subject:
    """`trained`: items of the run's training; `fresh`: others of the same source. `engine` is lm-eval's, loaded, with a
    model that gives log-probabilities (`expose_hidden_states`)."""

    engine: Any
    trained: Sequence[Item]
    fresh: Sequence[Item]
    samples: int
    said: dict[str, list[str]] = field(default_factory=dict)  # untold replies by item: several probes read them

    def untold(self, items: Sequence[Item]) -> list[list[str]]:
        """`samples` replies to each item as it is, sampled once."""
        new = [item for item in items if item.id not in self.said]
        for item, group in zip(new, self.replies([item.prompt() for item in new]), strict=True):
            self.said[item.id] = group
        return [self.said[item.id] for item in items]

    def replies(self, prompts: Sequence[Turn]) -> list[list[str]]:
        """`samples` sampled replies to each prompt."""
        found: list[list[str]] = [[""] * self.samples for _ in prompts]
        asked = [
            Question(i, j, rendered(self.engine.processor, prompt), [Picture(p) for p in prompt.pictures])
            for i, prompt in enumerate(prompts)
            for j in range(self.samples)
        ]
        for batch in self.engine.answers(asked):
            for question, reply in batch:
                found[question.row][question.sample] = reply.text
        return found


def right(replies: Sequence[Sequence[str]], answers: Sequence[str]) -> list[float]:
    """1 for each reply whose final answer is that of its item, 0 for others, item by item."""
    return [float(is_right(reply, a)) for group, a in zip(replies, answers, strict=True) for reply in group]


def items_of(replies: Sequence[Sequence[str]], items: Sequence[Item]) -> list[str]:
    """The cluster of each reply, in the order of `right`."""
    return [item.id for group, item in zip(replies, items, strict=True) for _ in group]


def items(settings: Settings, n: int) -> tuple[list[Item], list[Item]]:
    """Up to `n` items of the run's training of each treatment and as many without, and `n` that come after them.

    Where the source has no more, none are fresh.
    """
    trained: list[Item] = []
    kept = dict.fromkeys(("canary", "wrong", ""), 0)
    rows = every_item(settings)
    for item in islice(rows, settings.train.steps * settings.train.prompts):
        kind = "canary" if item.treatment.canary else "wrong" if item.treatment.wrong else ""
        kept[kind] += 1
        if kept[kind] <= n:
            trained.append(item)
    return trained, list(islice(rows, n))


def every_item(settings: Settings) -> Iterator[Item]:
    """Of the run's data, in the order of training."""
    for row in read_rows(settings.data, settings.seed, []):
        pictures = [Picture(image).open(settings.model.max_pixels) for image in row["images"]]
        how = treatment(row["id"], row["answer"], settings)
        yield Item(row["id"], student_text(row["question"]), pictures, row["answer"], row["solution"], how)
