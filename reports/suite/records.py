"""What the report needs of the files of a run, checked: whatever else stands in them is left alone."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, AliasPath, BaseModel, Field

LONGEST_NAME = 80


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


Number = Annotated[float | None, AfterValidator(_finite)]


def _named(text: str) -> str:
    """A name as people write them: what else stands in a damaged or hostile file must not cost the report."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= LONGEST_NAME else shown[:LONGEST_NAME] + "…"


Name = Annotated[str, AfterValidator(_named)]


class Head(BaseModel, frozen=True):
    """What the report needs of run.json; None where it is not said."""

    method: Name | None = None
    label: Name | None = None
    seed: int | None = None
    status: Name | None = None
    steps_done: int | None = None
    steps: int | None = None


class Finds(BaseModel, frozen=True):
    """What one detector found in one bench: the numbers of the replies, as samples.parquet lists them."""

    found: list[int]


class Result(BaseModel, frozen=True, coerce_numbers_to_str=True):
    """One bench of one evaluation. Scores and rates lie in 0..1; `score` is None where answers are unknown."""

    bench: str = ""
    edition: str = "unknown"
    data_id: str = Field("None", validation_alias=AliasPath("identity", "data_id"))
    limit: int | None = Field(None, validation_alias=AliasPath("identity", "limit"))
    score: Number = None
    stderr: Number = None
    n: int = 0
    unit: str = ""
    scores: dict[str, Any] = {}
    parsed: Number = None
    truncated: Number = None
    rows: int | None = None
    tokens: Number = None  # of a reply, on average
    seconds: Number = None
    rule: str = "None"
    task_version: str = "None"
    grader_version: str = "None"
    generation: dict[str, Any] = {}
    leakage: dict[str, Finds] = {}

    @property
    def all_tokens(self) -> float | None:
        """Of all replies together."""
        return None if self.tokens is None or self.rows is None else self.tokens * self.rows

    @property
    def leaking(self) -> set[int]:
        """The numbers of the replies in which any detector found something."""
        return {number for finds in self.leakage.values() for number in finds.found}


class Leakage(BaseModel, frozen=True):
    """What one detector found in the replies of one evaluation: rate 0..1, its standard error over n replies.

    `label` completes "replies that …". Both words come from the evaluation, so that no detector has to be known here.
    """

    label: str
    meaning: str
    rate: Number
    stderr: Number = None
    n: int
    phrases: dict[str, int] = {}


class Measure(BaseModel, frozen=True):
    """A mean over `n` replies with its standard error; None where there is none."""

    value: Number
    stderr: Number
    n: int

    @property
    def shown(self) -> str:
        if self.value is None:
            return "–"
        return f"{self.value:.2f}".replace("-", "−") + ("" if self.stderr is None else f" ± {self.stderr:.2f}")


class Probe(BaseModel, frozen=True):
    """One probe of a checkpoint; its words come from the probe, so that none has to be known here."""

    label: str
    unit: str
    meaning: str
    value: Measure


Localised = dict[str, dict[str, dict[str, Measure]]]  # of cli.py credit: by checkpoint, method and number
