"""Table 1 from the methods' declarations."""

from methods import METHODS
from runners.check.paradigms import table


def test_a_row_a_method_as_declared():
    columns = [list(column.cells) for column in table().columns]
    rows = {row[0]: row for row in zip(*columns, strict=True)}
    assert list(rows) == list(METHODS)
    for name, kind in METHODS.items():
        assert rows[name][2] == ("yes" if kind().policy_gradient else "no")
        assert all(context in rows[name][3] for context in kind().teachers)
