"""A section's tables as markdown, LaTeX and tidy CSV."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from reports.findings.table import Row, Table, inert
from reports.sections.section import Section


def markdown(section: Section, tables: Sequence[Table]) -> str:
    blocks = [f"# {section.title}"]
    for table in tables:
        lines = [
            "| Method | " + " | ".join(md(column.head) for column in table.columns) + " |",
            "|---|" + "---:|" * len(table.columns),
            *(f"| {md(row.shown_label)} | {' | '.join(_md_cells(table, row))} |" for row in table.rows),
        ]
        blocks += [f"## {md(table.title)}", "\n".join(lines), *map(md, filter(None, [*table.notes, table.meaning]))]
    return "\n\n".join(blocks) + "\n"


def _md_cells(table: Table, row: Row) -> list[str]:
    return [f"**{md(cell)}**" if bold else md(cell) for cell, bold in table.marked(row)]


def md_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


# What markdown reads as its own; an underscore within a word is none of it.
_MARKS = re.compile(r"[\\`*\[\]|!~]|(?<!\w)_|_(?!\w)")


def md(text: str) -> str:
    """The text as Markdown that shows it."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")


_TEX_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "–": "--",
    "−": "$-$",
    "[": "{[}",  # after a line break it would open an argument
    "*": "{*}",  # or belong to it
}


def _tex(text: str) -> str:
    shown = (c if c.isprintable() else " " for c in text)
    return "".join(_TEX_ESCAPES.get(c, c) for c in shown)


def latex(section: Section, tables: Sequence[Table]) -> str:
    """Booktabs tables, ready for \\input; the preamble needs only booktabs."""
    labels = ["tab:" + section.key + (f"-{t.source}" if t.source != "ours" else "") for t in tables]
    parts = [_tex_table(label, table) for label, table in zip(labels, tables, strict=True)]
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(parts)


def _tex_table(label: str, table: Table) -> str:
    # Seven columns with ± overflow a one-column page at the usual column gap.
    lines = [
        r"\begin{table}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{_tex(' '.join([table.title + '.', *table.notes, table.meaning]))}}}",
        rf"\label{{{label}}}",
        r"\medskip",
        r"\begin{tabular}{l" + "r" * len(table.columns) + "}",
        r"\toprule",
        " & ".join(["Method", *(_tex_head(column.head) for column in table.columns)]) + r" \\",
        r"\midrule",
        *(
            " & ".join([_tex(row.shown_label), *(_tex_cell(cell, bold) for cell, bold in table.marked(row))]) + r" \\"
            for row in table.rows
        ),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_head(column: str) -> str:
    name, _, edition = column.partition(" ")
    if not edition:
        return _tex(name)
    return rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{_tex(name)}\\{_tex(edition)}\end{{tabular}}"


def _tex_cell(cell: str, bold: bool) -> str:
    """A cell of several lines is a table of its own, as wide as its longest line."""
    first, *more = [_tex(line) for line in cell.split("\n")]
    if not more:
        # \boldmath is for ±, which is set as mathematics.
        return rf"\textbf{{\boldmath {first}}}" if bold else first
    lines = r"\\".join([first, *more])
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{lines}\end{{tabular}}"


def tidy_csv(section: Section, tables: Sequence[Table]) -> str:
    """One line a cell; values, stderr and intervals are shares of 1. Empty: not measured, or not stated by the paper.

    Intervals and p values have columns where a table gives any.
    """
    lines = [
        {
            "source": table.source,
            "method": inert(row.method),
            "label": inert(row.label),
            table.of[0]: inert(column.key),
            "edition": inert(column.edition),
            "n": cell and cell.n,
            "seeds": (cell.seeds or None) if cell else 0,
            table.of[1]: cell and cell.mean,
            "stderr": cell and cell.stderr,
            "low": cell and cell.low,
            "high": cell and cell.high,
            "p": cell and cell.p,
        }
        for table in tables
        for row in table.rows
        for column in table.columns
        for cell in [row.cells[column.key]]
    ]
    numbers = dict.fromkeys([*(table.of[1] for table in tables), "stderr", "low", "high", "p"], float)
    frame = pd.DataFrame(lines).astype({"n": "Int64", "seeds": "Int64", **numbers})
    unused = [name for name in ("low", "high", "p") if frame[name].isna().all()]
    return frame.drop(columns=unused).to_csv(index=False, float_format="%.6f", lineterminator="\n")


WRITERS = {"md": markdown, "tex": latex, "csv": tidy_csv}
