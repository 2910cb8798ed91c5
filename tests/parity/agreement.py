"""How the default rule differs from the official verdicts on recorded replies: `python -m tests.parity.agreement`.

Prints the table of docs/eval.md, and on stderr how many rows a minute one core graded.
"""

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from eval.benches import BENCHES
from eval.grading.score import RULES
from tests.parity.recorded import SNIPPET, files, replies

HEAD = """\
| bench | replies of | rows | official | default | same verdict | only official right | only default right | unparsed |
|---|---|---|---|---|---|---|---|---|"""


class Agreement(NamedTuple):
    """Counts over the rows of one file; official verdicts are the recorded ones, random letters included."""

    bench: str
    file: str
    rows: int
    official: int
    default: int
    only_official: int
    only_default: int
    unparsed: int

    def line(self) -> str:
        counts = (self.official, self.default, self.rows - self.only_official - self.only_default)
        shares = " | ".join(f"{count / self.rows:.1%}" for count in counts)
        label, file = BENCHES[self.bench].label, self.file.removeprefix(SNIPPET)
        rest = f"{self.only_official} | {self.only_default} | {self.unparsed / self.rows:.1%}"
        return f"| {label} | {file} | {self.rows} | {shares} | {rest} |"


def agreements() -> Iterator[Agreement]:
    for bench in BENCHES:
        for file in files(bench):
            pairs = [(r.correct, BENCHES[bench].grade(r.row, r.text, "default")) for r in replies(bench, file)]
            yield Agreement(
                bench,
                file,
                len(pairs),
                sum(official for official, _ in pairs),
                sum(verdict.correct is True for _, verdict in pairs),
                sum(official and not verdict.correct for official, verdict in pairs),
                sum(verdict.correct is True and not official for official, verdict in pairs),
                sum(not verdict.parsed for _, verdict in pairs),
            )


def table() -> str:
    return "\n".join([HEAD, *(agreement.line() for agreement in agreements())])


def speeds() -> Iterator[str]:
    """Rows a minute of each bench and rule; MathVista's official rule is given the extractions, as it must be."""
    for bench in BENCHES:
        for rule in RULES:
            asked = [
                (r.row, _asked(bench, rule, r.line, r.text)) for file in files(bench) for r in replies(bench, file)
            ]
            start = time.perf_counter()
            for row, text in asked:
                BENCHES[bench].grade(row, text, rule)
            yield f"{bench} {rule}: {60 * len(asked) / (time.perf_counter() - start):,.0f} rows a minute"


def _asked(bench: str, rule: str, line: dict[str, str], text: str) -> str:
    return line["extraction"] if (bench, rule) == ("mathvista", "official") else text


if __name__ == "__main__":
    print(table())
    print(*speeds(), sep="\n", file=sys.stderr)
