"""Tables as plain data: rows of methods, columns of estimates. The writers print them, each in its own format."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.stats.estimate import Estimate


def percent(cell: Estimate | None, digits: int = 1) -> str:
    """`52.4 ± 3.1`, in percent; a dash where nothing was measured."""
    if cell is None:
        return "–"
    mean = f"{100 * cell.mean:.{digits}f}"
    return mean if cell.stderr is None else f"{mean} ± {100 * cell.stderr:.{digits}f}"


def points(value: float, digits: int = 1) -> str:
    """`+5.0` or `−5.0`, of 0..1; what rounds to nothing has no sign."""
    text = f"{100 * value:+.{digits}f}".replace("-", "−")
    return text if any(c in "123456789" for c in text) else text[1:]


def interval(cell: Estimate, digits: int = 1) -> str:
    """`1.6 to 8.4`, the ends of the 95 % interval in percent; a dash where there is none."""
    if cell.low is None or cell.high is None:
        return "–"
    return " to ".join(points(end, digits).lstrip("+") for end in (cell.low, cell.high))


def chance(p: float | None) -> str:
    """A p value: `p = 0.012`, or `p < 0.001`. One just below 0.05 is not rounded up to it."""
    if p is None:
        return "not tested"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p >= 0.05 or round(p, 3) < 0.05 else "p < 0.05"


def signed(cell: Estimate | None, digits: int = 1) -> str:
    """`+5.0`, `(1.6 to 8.4)` and `p = 0.012` on three lines: a difference in points, its interval, its corrected p."""
    if cell is None:
        return "–"
    return f"{points(cell.mean, digits)}\n({interval(cell, digits)})\n{chance(cell.p)}"


@dataclass(frozen=True)
class Column:
    """`edition` says which data it stands on; `help` is one line for where there is room for no more."""

    key: str
    label: str
    edition: str = ""
    help: str = ""

    @property
    def head(self) -> str:
        """Official sets keep their bare name; anything else says what it is."""
        return self.label if self.edition in ("", "official") else f"{self.label} {self.edition}"


@dataclass(frozen=True)
class Row:
    """One method's cells by column; None where nothing was measured. `finished` is False for a † row."""

    method: str
    label: str
    cells: Mapping[str, Estimate | None]
    finished: bool = True

    @property
    def shown_label(self) -> str:
        seeds = max((cell.seeds for cell in self.cells.values() if cell), default=0)
        label = f"{self.label} ({seeds} seeds)" if seeds > 1 else self.label
        return label if self.finished else f"{label} †"


@dataclass(frozen=True)
class Table:
    """`notes` stand beside the table in every format, `meaning` where there is room. `of` names columns and values.

    `show` is how a cell reads; `wide` tables are left out of the terminal. Measured tables are `ours`; rows of another
    `source` never stand in one table with them. `best` are the methods in bold, by column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    meaning: str = ""
    source: str = "ours"
    digits: int = 1
    of: tuple[str, str] = ("bench", "score")
    show: Callable[[Estimate | None, int], str] = percent
    wide: bool = False
    best: Mapping[str, Collection[str]] = field(default_factory=dict)

    def shown(self, row: Row) -> list[str]:
        return [self.show(row.cells[column.key], self.digits) for column in self.columns]

    def marked(self, row: Row) -> list[tuple[str, bool]]:
        """The cells as `shown`, each with whether it stands in bold."""
        bold = [row.method in self.best.get(column.key, ()) for column in self.columns]
        return list(zip(self.shown(row), bold, strict=True))

    def items(self, column: str) -> int | None:
        """The items of one evaluation, which comparable runs share; None for the average."""
        return next((cell.n for row in self.rows if (cell := row.cells[column])), None)


def numbers(cell: Estimate | None) -> dict[str, Any]:
    """An estimate for report.json."""
    if cell is None:
        return {"mean": None, "stderr": None, "n": None, "seeds": 0}
    return {"mean": cell.mean, "stderr": cell.stderr, "n": cell.n, "seeds": cell.seeds}


def inert(text: str) -> str:
    """A spreadsheet would compute what begins like this."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
