"""Running pods, started once and shared by all tests that leave them as they were."""

from collections.abc import Iterator

import pytest

from tests.support.upstream import Upstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as application:
        yield application
