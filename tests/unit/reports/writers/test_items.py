"""The paper's items as files."""

import pytest

from eval.core.errors import UserError
from reports.suite.read import load_suite
from reports.writers.items import ITEMS, write_item


@pytest.fixture(scope="module")
def loaded(suite):
    return load_suite(suite)


@pytest.mark.parametrize("item", sorted(ITEMS.keys() - {"fig3c", "fig6"}))
def test_every_item_is_written(loaded, tmp_path, item):
    written = write_item(item, loaded, tmp_path / "paper")
    assert all(path.stat().st_size > 100 for path in written)
    assert {path.suffix for path in written} <= {".pdf", ".png", ".md", ".tex", ".csv"}


@pytest.mark.parametrize(
    ("item", "message"),
    [("fig6", "needs token tables"), ("fig3c", "needs the metric divergence"), ("fig9", "choose one of table2")],
)
def test_what_lacks_is_said(loaded, tmp_path, item, message):
    with pytest.raises(UserError, match=message):
        write_item(item, loaded, tmp_path / "paper")
