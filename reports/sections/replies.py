"""Replies side by side: the first questions of every bench with what each method said."""

import base64
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import pandas as pd

from eval.benches import BENCHES
from reports.sections.section import Section, template
from reports.suite.items import stored
from reports.suite.read import Run, Suite
from reports.suite.rows import reported_runs, row_labels

QUESTIONS = 200  # on the page, in turns from the benches
TEXT = 2_000_000  # characters of all replies on the page
LONGEST = 2_400  # of one reply


@dataclass(frozen=True)
class Said:
    """One reply: `right` is None without a gold answer."""

    method: str
    label: str
    text: str
    read: str
    right: bool | None
    leaking: bool
    truncated: bool

    @property
    def kinds(self) -> str:
        verdict = {True: "right", False: "wrong", None: "ungraded"}[self.right]
        return " ".join([verdict, *(["leaking"] if self.leaking else []), *(["truncated"] if self.truncated else [])])


@dataclass(frozen=True)
class Asked:
    """One question; `picture` is a data URI. What an evaluation of an older version did not keep is None."""

    place: str
    bench: str
    label: str
    id: str
    question: str | None
    gold: str | None
    picture: str | None
    pictures: int
    said: tuple[Said, ...]


@dataclass(frozen=True)
class Browser:
    """`methods` are labels in row order, `benches` labels by name; `total` is how many questions there are."""

    asked: tuple[Asked, ...]
    methods: dict[str, str]
    benches: dict[str, str]
    total: int


def replies(suite: Suite) -> Browser | None:
    """The first seed of each row. None where no reply can be read."""
    rows = {m: runs[0] for m in row_labels(suite) if (runs := reported_runs(suite, m))}
    tables = {bench: found for bench in BENCHES if (found := _tables(rows, bench))}
    if not tables:
        return None
    ids = {bench: list(next(iter(found.values())).index) for bench, found in tables.items()}
    turns = zip_longest(*([(bench, n, str(i)) for n, i in enumerate(ids[bench], 1)] for bench in tables))
    first = [each for each in chain.from_iterable(turns) if each is not None][:QUESTIONS]
    longest = max(200, min(LONGEST, TEXT // max(1, len(first) * len(rows))))
    kept = {bench: _questions(rows, bench) for bench in tables}
    labels = {method: label for method, label in row_labels(suite).items() if method in rows}
    asked = []
    for bench, n, item in sorted(first, key=lambda each: list(tables).index(each[0])):
        said = [
            _said(m, labels[m], table.loc[item], longest) for m, table in tables[bench].items() if item in table.index
        ]
        known = kept[bench].get(item, {})
        question, gold, picture = (known.get(name) for name in ("question", "gold", "picture"))
        # base64 holds no character that HTML could read as markup.
        uri = f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}" if picture else None
        place, pictures = f"q-{bench}-{n}", int(known.get("pictures", 0))
        asked.append(Asked(place, bench, BENCHES[bench].label, item, question, gold, uri, pictures, tuple(said)))
    total = sum(len(found) for found in ids.values())
    return Browser(tuple(asked), labels, {bench: BENCHES[bench].label for bench in tables}, total)


def _tables(rows: dict[str, Run], bench: str) -> dict[str, pd.DataFrame]:
    """The first sample of the first questions by id, of each row that has whole samples."""
    found = {}
    for method, run in rows.items():
        table = stored(run.samples / bench / "samples.parquet") if bench in run.results else None
        if table is not None:
            table = table.assign(leaking=table.reset_index().index.isin(run.results[bench].leaking))
            found[method] = table[table["sample"] == 0].set_index("id")
    return found


def _questions(rows: dict[str, Run], bench: str) -> dict[Any, dict[Any, Any]]:
    """By id, what the evaluations kept of the questions: the first that did."""
    tables = (stored(run.samples / bench / "questions.parquet") for run in rows.values())
    return next((table.set_index("id").to_dict("index") for table in tables if table is not None), {})


def _said(method: str, label: str, row: Any, longest: int) -> Said:
    text = str(row["reply"])
    if len(text) > longest:  # the end is where the answer stands
        text = f"{text[: longest // 2]}\n[… {len(text) - longest} characters …]\n{text[-(longest - longest // 2) :]}"
    right = None if pd.isna(row["correct"]) else bool(row["correct"])
    read = "" if row.get("extracted") is None else str(row["extracted"])
    cut = row.get("finish", "stop") not in ("stop", None)
    return Said(method, label, text, read, right, bool(row["leaking"]), cut)


REPLIES = Section(
    "replies",
    replies,
    template(__file__),
    "Replies",
    json=lambda data: {"replies": {"shown": [one.id for one in data.asked], "of": data.total}},
)
