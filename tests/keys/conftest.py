from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kubernetes_api import KubernetesApi


@pytest.fixture
def kubernetes_api(tmp_path: Path) -> Iterator[KubernetesApi]:
    """A cluster of one test's own."""
    directory = tmp_path / "kubernetes"
    directory.mkdir()
    with KubernetesApi(directory) as api:
        yield api
