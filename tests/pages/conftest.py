"""Fixtures of the tests of pages."""

import pytest

from tests.support.internal_gateway import Gateway


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()
