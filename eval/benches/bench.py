"""What a benchmark is to the rest of the suite: one class a bench, and one object of it in `eval.benches.BENCHES`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from eval.grading.score import Aggregate, Graded, Row, Rule, Scores, Verdict, accuracy, macro_over, mean_by

if TYPE_CHECKING:
    from eval.benches.drawn import Problem

Groups = Mapping[str, Callable[[Row], Sequence[str]]]


class Bench(ABC):
    """One benchmark: its rows, what a model is shown of them, and how replies are graded.

    A subclass sets the first block, `prompt` and `grade`; everything else has a default for a bench of one picture a
    question, whose score is the share of right answers. Rows are in official columns wherever nothing else is said.
    """

    name: ClassVar[str]  # in commands, folders and results
    label: ClassVar[str]  # in tables
    split: ClassVar[str]  # the official one, measured unless another is asked for
    official_n: ClassVar[int]  # how many units the official split has
    unit: ClassVar[str] = "questions"  # what is counted
    version: ClassVar[str] = "1"  # raised whenever the prompt changes, or what is read out of the rows
    hub: ClassVar[str | None] = None  # the data set on the hub; None: local files only
    configs: ClassVar[tuple[str, ...]] = ()  # the hub's subsets that make up a split; empty: the default one
    mini_splits: ClassVar[tuple[str, ...]] = ()  # what `mini` draws, the official one first; empty: no mini edition

    # The columns of a row: what identifies it, its gold answer, a picture or a list of pictures each, what grading
    # and aggregation cannot do without besides, and what the prompt cannot.
    key: ClassVar[tuple[str, ...]] = ("id",)
    answer: ClassVar[str] = "answer"
    pictures: ClassVar[tuple[str, ...]] = ("image",)
    graded: ClassVar[tuple[str, ...]] = ()
    asked: ClassVar[tuple[str, ...]] = ("question",)
    # Official column -> the columns that hold it in one file or another; the first that holds something is read.
    spelt: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    answers_optional: ClassVar[bool] = False  # whether rows of the official split may be without an answer

    # A file of replies that brings its rows along: official column -> the file's column, the key's first.
    brought: ClassVar[Mapping[str, str]] = {}
    # Sub-scores that lm-eval's own table shows beside the score.
    metrics: ClassVar[tuple[str, ...]] = ()
    # The kind of `groups` over which `macro` is the mean; none: no such score.
    macro: ClassVar[str] = ""

    @abstractmethod
    def prompt(self, row: Row) -> str:
        """The user's text, with one `<image>` where each picture of `shown` stands."""

    @abstractmethod
    def grade(self, row: Row, reply: str, rule: Rule) -> Verdict:
        """One reply's verdict. `official` is the authors' rule on the reply as it is, `default` reads a final answer
        out of any wrapper first."""

    def respelt(self, row: Row) -> Row:
        """A raw row in official columns, a copy: what local files spell otherwise is read here, by `spelt`."""
        return {**row, **{column: first(row, *names) for column, names in self.spelt.items()}}

    def fault(self, row: Row) -> str | None:
        """Why a row cannot be graded although its columns are there; None for a sound row."""
        return None

    def shown(self, row: Row) -> list[Any]:
        """The pictures in the order of the prompt; None for one that the row lacks."""
        cells = [row.get(column) for column in self.pictures]
        lists = [cell if isinstance(cell, list) else [cell] for cell in cells if cell is not None]
        return [picture for pictures in lists for picture in pictures]

    def gold(self, row: Row) -> str:
        """The gold answer in words that need no options beside them, for a judge."""
        return str(row[self.answer])

    def golds(self, row: Row) -> list[str]:
        """The gold answers as a reply would give them, any of which is right."""
        return [str(row[self.answer])]

    def row_id(self, row: Row) -> str:
        return "/".join(str(row[column]) for column in self.key)

    def cluster(self, row: Row) -> str:
        """What the row belongs to whose errors are not independent of its own."""
        return self.row_id(row)

    def groups(self) -> Groups:
        """Kinds of sub-scores, each with the groups that a row belongs to."""
        return {}

    def aggregate(self, graded: Graded) -> Aggregate:
        """The score with its sub-scores: here the share of right rows (micro), its mean over groups (macro), groups."""
        total = accuracy(graded, self.cluster)
        if total.score is None:
            return total
        groups = mean_by(graded, **self.groups())
        averages = {"micro": total.score, **macro_over(groups, self.macro)}
        return total._replace(scores=total.scores | averages | groups)

    # A bench that counts problems of several rows (We-Math) says which, so that none is cut through.

    def problem(self, row: Row) -> str | None:
        """The problem that a row, raw or not, is a part of; None where every row counts by itself."""
        return None

    def lacking(self, rows: Sequence[Row]) -> dict[str, set[str]]:
        """Problems that lack rows, with the keys of these."""
        return {}

    # Grading a file of recorded replies.

    def reply_column(self, rule: Rule) -> str:
        """Where such a file holds what is graded."""
        return "response"

    def todays_id(self, row_id: str) -> str:
        """The id that a row has today, of one that an older file of replies names."""
        return row_id

    def official_summary(self, scores: Scores) -> dict[str, Any]:
        """What the authors' own script prints, in its order, where `scores` names it otherwise."""
        return {}

    def draw(self, split: str, seed: int, times: int = 1) -> list[tuple[Row, Problem]]:
        """The rows of the mini edition of one of `mini_splits`, with the problems they state; ids start with `mini_`.

        Seed 0 is the edition that is evaluated; the embedded base model learns from others. `times`: as many rows, of
        the same mixture.
        """
        raise NotImplementedError(f"{self.name} has no mini edition")


def first(row: Row, *columns: str) -> Any:
    """What the first of the columns holds that holds something."""
    return next((row[c] for c in columns if row.get(c) is not None), None)


def stem(path: Any) -> str | None:
    return PurePath(path).stem if isinstance(path, str) else None


def option(letter: str, text: str | None) -> str:
    """A gold option in words: its letter, and its text where that says more."""
    return f"option {letter}: {text}" if text and text != letter else f"option {letter}"


def quotable(options: Mapping[str, str]) -> dict[str, str]:
    """The text of each option, empty where it stands in the picture or is its letter: nobody can quote those."""
    return {c: "" if "<image" in text or text.strip() == c else text for c, text in options.items()}
