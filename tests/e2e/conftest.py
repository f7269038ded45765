"""The sidecars of the order service, and the shop behind its gateway.

Their pods are in ``tests.support.pod_fixtures``.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e import shop
from tests.e2e.gateway import Edge, running_edge
from tests.e2e.gateway_shop import HOSTS, gateway_configuration, service_configuration
from tests.e2e.keys_authorities import Authority, one_of_each
from tests.support.gateway_process import GatewayProcess
from tests.support.openbao import OpenBao
from tests.support.openid_provider import OpenIdProvider
from tests.support.pod import Pod, running_pod
from tests.support.ports import socket_directory as new_socket_directory
from tests.support.sidecar_process import SIDECAR, SidecarProcess
from tests.support.upstream import Upstream


class StartSidecar(Protocol):
    def __call__(
        self, *, command: Sequence[str] = SIDECAR, **changes: object
    ) -> SidecarProcess: ...


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SidecarProcess]:
    """The order service's sidecar."""
    directory = tmp_path_factory.mktemp("sidecar")
    with (
        new_socket_directory() as sockets,
        SidecarProcess(shop.configuration(directory), directory, sockets) as running,
    ):
        yield running


@pytest.fixture
def own_sidecar(tmp_path: Path, socket_directory: Path) -> Iterator[SidecarProcess]:
    """The order service's sidecar, of one test's own; its keys are in ``tmp_path``."""
    with SidecarProcess(shop.configuration(tmp_path), tmp_path, socket_directory) as running:
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
def authorities(
    openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Authority]]:
    """An issuer for each source of keys, its first key published."""
    with one_of_each(openbao, tmp_path_factory.mktemp("authorities")) as issuers:
        yield issuers


@pytest.fixture(scope="session")
def gateway(
    openid_provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """The shop's gateway, in front of an SSO that is shared by all tests."""
    directory = tmp_path_factory.mktemp("gateway")
    configuration = gateway_configuration(directory, openid_provider)
    with (
        new_socket_directory() as sockets,
        GatewayProcess(configuration, directory, sockets) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def service_sidecars(
    gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, SidecarProcess]]:
    """The sidecars of the services behind the gateway, by the services' names."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                SidecarProcess(
                    service_configuration(name, gateway),
                    tmp_path_factory.mktemp(f"{name}-sidecar"),
                    stack.enter_context(new_socket_directory()),
                )
            )
            for name in HOSTS
        }


@pytest.fixture(scope="session")
def services(
    envoy_version: str,
    service_sidecars: dict[str, SidecarProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Pod]]:
    """The services behind the gateway: each has its Envoy, its sidecar and its application."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                running_pod(
                    envoy_version,
                    tmp_path_factory.mktemp(f"{name}-envoy"),
                    authz=sidecar.socket,
                    upstream=stack.enter_context(Upstream()),
                )
            )
            for name, sidecar in service_sidecars.items()
        }


@pytest.fixture(scope="session")
def edge(
    envoy_version: str,
    gateway: GatewayProcess,
    services: dict[str, Pod],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """The shop as its clients reach it."""
    addresses = {name: pod.envoy.address for name, pod in services.items()}
    upstreams = {name: pod.upstream for name, pod in services.items()}
    directory = tmp_path_factory.mktemp("edge")
    with running_edge(envoy_version, directory, gateway, addresses, upstreams) as running:
        yield running


@pytest.fixture(scope="session")
def alice(openid_provider: OpenIdProvider) -> str:
    """Her session at the SSO, which no test ends."""
    return openid_provider.login("alice")
