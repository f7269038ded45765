"""Options, markers and fixtures that every kind of test may use."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support import squid, web_servers
from tests.support.envoy import binary
from tests.support.kube_apiserver import APISERVER
from tests.support.kubectl import KUBECTL
from tests.support.leaks import LEAKS
from tests.support.openbao import BINARY as OPENBAO
from tests.support.openbao import OpenBao
from tests.support.openid_provider import NODE, OpenIdProvider
from tests.support.ports import socket_directory as new_socket_directory
from tests.support.squid import Squid

pytest_plugins = ["tests.support.pod_fixtures"]

# The release that tests use unless they are about every release.
ENVOY_VERSION = "1.40.0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--envoy-versions",
        default=ENVOY_VERSION,
        help="the Envoy releases on which the tests marked every_envoy run, separated by spaces",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured: ``record_property`` says it, nothing is asserted on it."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses Envoy on one release, or on all that are asked for."""
    if "envoy_version" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_envoy")
        versions = (
            metafunc.config.getoption("--envoy-versions").split() if every else [ENVOY_VERSION]
        )
        metafunc.parametrize("envoy_version", versions, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def no_credential_is_written_anywhere() -> Iterator[None]:
    """When all tests are over: nothing they made the programs write has a credential in it."""
    yield
    assert not LEAKS.found, "\n".join(LEAKS.found[:20])


@pytest.fixture(scope="session")
def envoy_version(request: pytest.FixtureRequest) -> str:
    """A release of Envoy that is installed."""
    version: str = request.param
    if not binary(version).exists():
        _missing(f"Envoy {version} is missing: run `make .envoy/{version}`")
    return version


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A server that is shared by all tests that leave it running."""
    _require_openbao()
    with OpenBao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture
def openbao_to_seal(tmp_path: Path) -> Iterator[OpenBao]:
    """A server of one test's own."""
    _require_openbao()
    with OpenBao(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def openid_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """A provider that is shared by all tests that leave it running."""
    _require_openid_provider()
    with OpenIdProvider(tmp_path_factory.mktemp("openid-provider")) as provider:
        yield provider


@pytest.fixture
def openid_provider_to_stop(tmp_path: Path) -> Iterator[OpenIdProvider]:
    """A provider of one test's own."""
    _require_openid_provider()
    directory = tmp_path / "openid-provider"
    directory.mkdir()
    with OpenIdProvider(directory) as provider:
        yield provider


@pytest.fixture
def socket_directory() -> Iterator[Path]:
    """A directory whose name is short enough for Unix sockets."""
    with new_socket_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def web_servers_installed() -> None:
    """Apache, lighttpd and nginx are there."""
    if absent := web_servers.missing():
        _missing(f"{', '.join(absent)}: missing; run `apt-get install {web_servers.PACKAGES}`")


@pytest.fixture(scope="session")
def squid_installed() -> None:
    """Squid is there."""
    if squid.PROGRAM is None:
        _missing(f"Squid is missing: run `apt-get install {squid.PACKAGES}`")


@pytest.fixture(scope="session")
def forward_proxy(squid_installed: None) -> Iterator[Squid]:
    """A proxy that serves everybody, shared by all tests that leave it running."""
    del squid_installed
    with new_socket_directory() as directory, Squid(directory) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def kubectl_installed() -> None:
    """What renders and applies manifests is there."""
    if platform.machine() != "x86_64":
        pytest.skip("kubectl is installed for x86-64 alone")
    if not KUBECTL.exists():
        _missing("kubectl is missing: run `make .kubectl`")


@pytest.fixture(scope="session")
def kubernetes_installed(kubectl_installed: None) -> None:
    """The API server is there, and what it is asked with."""
    del kubectl_installed
    if not APISERVER.exists():
        _missing("the Kubernetes API server is missing: run `make .kubernetes`")


def _require_openbao() -> None:
    if not OPENBAO.exists():
        _missing("OpenBao is missing: run `make .openbao`")


def _require_openid_provider() -> None:
    if not NODE.exists():
        _missing("the OpenID provider is missing: run `make .openid-provider`")


def _missing(what: str) -> NoReturn:
    """Whoever works on one thing may lack a counterpart of another; CI has them all."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
