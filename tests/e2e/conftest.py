"""Running pods, started once and shared by all tests that leave them as they were."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e import shop
from tests.support.envoy import Json
from tests.support.pod import Pod, running_pod
from tests.support.ports import socket_directory as new_socket_directory
from tests.support.sidecar_process import SIDECAR, SidecarProcess
from tests.support.upstream import Upstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as application:
        yield application


class StartSidecar(Protocol):
    def __call__(
        self, *, command: Sequence[str] = SIDECAR, **changes: object
    ) -> SidecarProcess: ...


class StartPod(Protocol):
    def __call__(
        self,
        sidecar: SidecarProcess,
        configuration: Json | None = None,
        *,
        certificates: Path | None = None,
    ) -> Pod: ...


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """The order service's sidecar."""
    directory = tmp_path_factory.mktemp("sidecar")
    with (
        new_socket_directory() as sockets,
        SidecarProcess(shop.configuration(directory), directory, sockets) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def pod(
    envoy_version: str,
    sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """The order service as it is deployed: Envoy as shipped, its sidecar, an application."""
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(envoy_version, directory, authz=sidecar.socket, upstream=upstream) as running:
        yield running


@pytest.fixture(scope="module")
def start_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartSidecar]:
    """Starts sidecars whose configuration differs from the order service's in what is given."""
    with ExitStack() as stack:

        def start(*, command: Sequence[str] = SIDECAR, **changes: object) -> SidecarProcess:
            directory = tmp_path_factory.mktemp("sidecar")
            sockets = stack.enter_context(new_socket_directory())
            configuration = shop.configuration(directory, **changes)
            return stack.enter_context(
                SidecarProcess(configuration, directory, sockets, command=command)
            )

        yield start


@pytest.fixture(scope="module")
def start_pod(
    envoy_version: str,
    upstream: Upstream,
    start_sidecar: StartSidecar,  # noqa: ARG001 - sidecars stop after the Envoys that ask them
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
