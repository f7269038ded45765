"""A real API server for the tests of this folder, which all bear the marker ``kubernetes``."""

from collections.abc import Iterator

import pytest

from tests.support.kube_apiserver import KubeApiserver


@pytest.fixture(scope="session")
def kube_apiserver(
    kubernetes_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeApiserver]:
    """A server that is shared by all tests that leave it running."""
    del kubernetes_installed
    with KubeApiserver(tmp_path_factory.mktemp("kube-apiserver")) as server:
        yield server


@pytest.fixture
def kube_apiserver_to_restart(
    kubernetes_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeApiserver]:
    """A server of one test's own."""
    del kubernetes_installed
    with KubeApiserver(tmp_path_factory.mktemp("kube-apiserver")) as server:
        yield server


@pytest.fixture
def namespace(kube_apiserver: KubeApiserver) -> str:
    """A namespace of one test's own, of the shared server: Pod Security restricts its pods."""
    return kube_apiserver.new_namespace()
