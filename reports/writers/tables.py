"""Table 2 as markdown, LaTeX and tidy CSV. Ours and the paper's never share a table or a row."""

from __future__ import annotations

import csv
import io

from reports.sections.table2 import AVERAGE, COLUMNS, Table2, percent
from reports.stats.estimate import STDERR_MEANING
from reports.suite import paper

PAPER_COLUMNS = ("MMMU", "MathVista", "MathVision", "ZeroBench", "We-Math", "Average")
PAPER_TITLE = f"The paper's numbers: {paper.MODEL}, {paper.DATA}"


def our_title(name: str, table: Table2) -> str:
    editions = sorted({edition for column, edition in table.editions.items() if column != AVERAGE})
    sets = {"mini": "MINI benches", "official": "official sets", "local": "local data"}
    data = " and ".join(sets.get(edition, edition) for edition in editions) or "not evaluated yet"
    return f"Measured by this suite ({name}): {data}, percent"


def markdown(name: str, table: Table2) -> str:
    lines = [f"## Table 2. {_md(our_title(name, table))}", ""]
    lines += _md_table([table.column_label(c) for c in COLUMNS], [
        (row.shown_label, [percent(row.cells[c]) for c in COLUMNS]) for row in table.rows
    ])  # fmt: skip
    for note in [*table.notes(), STDERR_MEANING]:
        lines += ["", note]
    lines += ["", f"## {PAPER_TITLE}", ""]
    lines += _md_table(list(PAPER_COLUMNS), [
        (paper.LABELS[method], [f"{value:.2f}" for value in values]) for method, values in paper.PERCENT.items()
    ])  # fmt: skip
    return "\n".join([*lines, "", paper.NOTE, ""])


def _md(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _md_table(columns: list[str], rows: list[tuple[str, list[str]]]) -> list[str]:
    lines = [
        "| Method | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    return lines + [f"| {_md(label)} | " + " | ".join(cells) + " |" for label, cells in rows]


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
    "\n": " ",
}


def _tex(text: str) -> str:
    return "".join(_TEX_ESCAPES.get(character, character) for character in text)


def latex(name: str, table: Table2) -> str:
    """Two booktabs tables, ready for \\input; the preamble needs only booktabs."""
    ours = _tex_table(
        caption=" ".join([our_title(name, table) + ".", *table.notes(), STDERR_MEANING]),
        label="tab:table2",
        columns=[table.column_label(c) for c in COLUMNS],
        rows=[(row.shown_label, [percent(row.cells[c]) for c in COLUMNS]) for row in table.rows],
    )
    theirs = _tex_table(
        caption=f"{PAPER_TITLE}. {paper.NOTE}",
        label="tab:table2-paper",
        columns=list(PAPER_COLUMNS),
        rows=[(paper.LABELS[m], [f"{v:.2f}" for v in values]) for m, values in paper.PERCENT.items()],
    )
    return "% Needs \\usepackage{booktabs}.\n" + ours + "\n" + theirs


def _tex_table(caption: str, label: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> str:
    # Seven columns with ± overflow a one-column page at the usual column gap.
    head = ["Method", *(_tex_head(column) for column in columns)]
    body = [" & ".join([_tex(first), *(_tex(cell) for cell in cells)]) + r" \\" for first, cells in rows]
    lines = [
        r"\begin{table}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\label{{{label}}}",
        r"\medskip",
        r"\begin{tabular}{l" + "r" * len(columns) + "}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *body,
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


CSV_COLUMNS = (
    "source",
    "method",
    "label",
    "bench",
    "edition",
    "n",
    "seeds",
    "score",
    "stderr",
)


def tidy_csv(table: Table2) -> str:
    """One line a cell. score and stderr lie in 0..1; empty means not measured, or not stated by the paper."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in table.rows:
        for column in COLUMNS:
            cell, edition = row.cells[column], table.editions.get(column, "")
            key = ("ours", row.method, row.label, column, edition)
            if cell is None:
                writer.writerow([*key, "", 0, "", ""])
            else:
                stderr = "" if cell.stderr is None else f"{cell.stderr:.6f}"
                writer.writerow(
                    [
                        *key,
                        "" if cell.n is None else cell.n,
                        cell.seeds,
                        f"{cell.mean:.6f}",
                        stderr,
                    ]
                )
    for method, values in paper.PERCENT.items():
        for column, value in zip(paper.COLUMNS, values, strict=True):
            writer.writerow(
                [
                    "paper",
                    method,
                    paper.LABELS[method],
                    column,
                    "official",
                    "",
                    "",
                    f"{value / 100:.6f}",
                    "",
                ]
            )
    return text.getvalue()
