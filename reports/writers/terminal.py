"""Every table of ours side by side: a row a method, in 80 columns of terminal."""

from rich import box
from rich.table import Table

from eval.core.terminal import plain
from reports.writers.contents import Contents


def terminal_table(contents: Contents) -> Table:
    """A title, a line a method, and what a reader must know."""
    found = [(section, t) for section, tables in contents.tables for t in tables if t.source == "ours" and not t.wide]
    tables = [table for _, table in found]
    columns = [column for table in tables for column in table.columns]
    notes = [
        *(note for table in tables for note in table.notes),
        "± one standard error.",
        *(column.help for column in columns if column.help),
    ]
    # The box's own separators are gap enough; any padding would push eight columns past 80 characters.
    shown = Table(
        title=plain(f"{found[0][0].title}. {tables[0].title}"),
        caption=plain(" ".join(notes)),
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    shown.add_column("")
    for column in columns:
        shown.add_column(plain(column.head.replace(" ", "\n")), justify="right", no_wrap=True)
    for rows in zip(*(table.rows for table in tables), strict=True):
        cells = [cell for table, row in zip(tables, rows, strict=True) for cell in table.shown(row)]
        shown.add_row(plain(rows[0].shown_label), *(cell.replace(" ± ", "±") for cell in cells))
    return shown
