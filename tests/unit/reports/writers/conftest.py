"""The made-up suite and its report, once a process."""

import pytest

from reports.writers.folder import build
from tests.support.report_suite import write_suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="session")
def page(suite):
    return build(suite)
