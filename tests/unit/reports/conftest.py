"""The made-up suite and its report, once a process."""

import pytest

from tests.support.report_suite import build, write_suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="session")
def page(suite):
    return build(suite)
