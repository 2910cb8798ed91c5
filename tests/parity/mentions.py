"""How often the mention detector is right: `python -m tests.parity.mentions [FOLDER ...]`.

Prints the tables of docs/leakage.md from the labelled lines in tests/data/mentions. With folders it also prints how
often the detector fires on the replies recorded there: `response` or `reply` in *.jsonl, *.jsonl.gz and *.parquet.
"""

import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

import pyarrow.parquet as pq
from scipy.stats import binomtest

from eval.leakage.mention import mentions

LABELLED = Path(__file__).parents[1] / "data" / "mentions"
LANGUAGES = {"en": "English", "zh": "Chinese", "fr": "French"}
HELD_OUT = 3  # every third line was not looked at while the patterns were written
COLUMNS = ("response", "reply")
RATES_HEAD = """\
| language | lines | leaking | recall | clean | false positives | precision |
|---|---|---|---|---|---|---|"""
KINDS_HEAD = """\
| kind | found | an example |
|---|---|---|"""


class Line(NamedTuple):
    text: str
    leaks: bool
    kind: str
    held_out: bool
    found: bool


def lines(language: str) -> list[Line]:
    rows = [json.loads(row) for row in (LABELLED / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Line(**row, held_out=i % HELD_OUT == 2, found=bool(mentions(row["text"]))) for i, row in enumerate(rows)]


def share(hits: int, of: int, digits: int = 1) -> str:
    """A share in percent with its 95 % Wilson interval."""
    interval = binomtest(hits, of).proportion_ci(method="wilson")
    return f"{hits / of:.{digits}%} [{100 * interval.low:.{digits}f}, {100 * interval.high:.{digits}f}]"


def rates() -> str:
    """Recall, false positives and precision of each language, on lines the patterns were written with and on others."""
    rows = []
    for language, label in LANGUAGES.items():
        for held_out in (False, True):
            part = [line for line in lines(language) if line.held_out == held_out]
            leaking, clean = ([line.found for line in part if line.leaks == leaks] for leaks in (True, False))
            name = "held out" if held_out else "tuned"
            rows.append(
                f"| {label} | {name} | {len(leaking)} | {share(sum(leaking), len(leaking))} | {len(clean)} "
                f"| {share(sum(clean), len(clean))} | {share(sum(leaking), sum(leaking) + sum(clean))} |"
            )
    return "\n".join([RATES_HEAD, *rows])


def kinds() -> str:
    """Of each kind of leak, how many lines of the three languages are found, the best found first."""
    leaking = [line for language in LANGUAGES for line in lines(language) if line.leaks]
    total, found = Counter(line.kind for line in leaking), Counter(line.kind for line in leaking if line.found)
    example = {line.kind: line.text for line in reversed([line for line in lines("en") if line.leaks])}
    return "\n".join(
        [
            KINDS_HEAD,
            *(
                f"| {kind} | {found[kind]} of {total[kind]} | `{shorten(example[kind], 90, placeholder=' …')}` |"
                for kind in sorted(total, key=lambda kind: (-found[kind] / total[kind], kind))
            ),
        ]
    )


def recorded(folder: Path) -> Iterator[str]:
    """The replies in a folder that are not empty."""
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            rows = table.select([name for name in COLUMNS if name in table.column_names]).to_pylist()
        elif file.name.endswith((".jsonl", ".jsonl.gz")):
            with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as stream:
                rows = [json.loads(row) for row in stream]
        else:
            continue
        yield from (row[name] for row in rows for name in COLUMNS if row.get(name))


def fires(folder: Path) -> tuple[int, int, list[str]]:
    """How many replies there are, how many of them the detector finds, and those with what it found."""
    replies = list(recorded(folder))
    hits = [f"{found} in {reply[:2000]!r}" for reply in replies if (found := mentions(reply))]
    return len(replies), len(hits), hits


if __name__ == "__main__":
    print(rates(), kinds(), sep="\n\n")
    for name in sys.argv[1:]:
        start = time.perf_counter()
        n, hits, texts = fires(Path(name))
        speed = n / (time.perf_counter() - start)
        print(f"\n{name}: {hits} of {n:,} replies, {share(hits, n, 3) if n else 'none there'}, {speed:,.0f} a second")
        print(*texts[:20], sep="\n")
