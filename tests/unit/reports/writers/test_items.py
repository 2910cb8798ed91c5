"""The paper's items as files."""

import pytest

from eval.core.errors import UserError
from reports.suite.read import load_suite
from reports.writers.items import ITEMS, write_item
from tests.support.report_suite import write_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_suite(write_suite(tmp_path_factory.mktemp("runs") / "demo"))


@pytest.mark.parametrize("item", sorted(ITEMS.keys() - {"fig3c", "fig6"}))
def test_every_item_is_written(suite, tmp_path, item):
    written = write_item(item, suite, tmp_path / "paper")
    assert all(path.stat().st_size > 100 for path in written)
    assert {path.suffix for path in written} <= {".pdf", ".png", ".md", ".tex", ".csv"}


@pytest.mark.parametrize(
    ("item", "message"),
    [("fig6", "needs token tables"), ("fig3c", "needs the metric divergence"), ("fig9", "choose one of table2")],
)
def test_what_lacks_is_said(suite, tmp_path, item, message):
    with pytest.raises(UserError, match=message):
        write_item(item, suite, tmp_path / "paper")
