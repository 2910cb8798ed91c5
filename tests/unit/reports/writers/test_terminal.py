"""The terminal's table."""

import io

from rich.console import Console

from reports.writers.contents import collect
from reports.writers.terminal import terminal_table


def test_terminal_table_fits_80_columns(suite):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(collect(suite)))
    text = console.export_text()
    assert "60.0±6.3" in text
    assert "9.3±1.6" in text
    assert "…" not in text
    assert "MINI benches" in text
