"""Fixtures of pods: Envoy, a sidecar, an application, and the key servers they depend on.

A fixture without a prefix is shared by all tests that leave it as it was; one that begins with
``own_`` belongs to one test. The sidecars, ``sidecar``, ``own_sidecar`` and ``start_sidecar``, are
those of the folder that uses these fixtures.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.envoy import Json
from tests.support.key_server import KeyServer
from tests.support.pod import Pod, running_pod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as application:
        yield application


@pytest.fixture
def own_upstream() -> Iterator[Upstream]:
    """An application of one test's own."""
    with Upstream() as application:
        yield application


class StartPod(Protocol):
    def __call__(
        self,
        sidecar: SidecarProcess,
        configuration: Json | None = None,
        *,
        certificates: Path | None = None,
    ) -> Pod: ...


@pytest.fixture(scope="session")
def pod(
    envoy_version: str,
    sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """The service as it is deployed: Envoy as shipped, its sidecar, an application."""
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(envoy_version, directory, authz=sidecar.socket, upstream=upstream) as running:
        yield running


@pytest.fixture
def own_pod(
    envoy_version: str,
    own_sidecar: SidecarProcess,
    own_upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """A pod of one test's own. Envoy has two threads, each with connections of its own."""
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(
        envoy_version, directory, authz=own_sidecar.socket, upstream=own_upstream, concurrency=2
    ) as running:
        yield running


@pytest.fixture(scope="module")
def start_pod(
    envoy_version: str,
    upstream: Upstream,
    start_sidecar: object,  # noqa: ARG001 - sidecars stop after the Envoys that ask them
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartPod]:
    """Starts pods whose Envoy is configured otherwise, or whose sidecar is another."""
    with ExitStack() as stack:

        def start(
            sidecar: SidecarProcess,
            configuration: Json | None = None,
            *,
            certificates: Path | None = None,
        ) -> Pod:
            return stack.enter_context(
                running_pod(
                    envoy_version,
                    tmp_path_factory.mktemp("envoy"),
                    authz=sidecar.socket,
                    upstream=upstream,
                    configuration=configuration,
                    certificates=certificates,
                )
            )

        yield start


@pytest.fixture(scope="module")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    """A key server of the tests in one module."""
    with KeyServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def own_key_server(tmp_path: Path) -> Iterator[KeyServer]:
    """A key server of one test's own; its files are in ``tmp_path``."""
    with KeyServer(tmp_path) as running:
        yield running
