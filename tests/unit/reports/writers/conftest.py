"""The made-up suite and its report, once a module."""

import pytest

from tests.support.report_suite import build, write_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def page(suite):
    return build(suite)
