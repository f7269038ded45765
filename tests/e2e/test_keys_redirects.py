"""A key server cannot send a sidecar to its neighbours."""

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.keys_authorities import JwksAuthority, OidcAuthority
from tests.e2e.keys_pod import KeysPod, keys_pod
from tests.support.key_server import KeyServer, redirecting
from tests.support.ports import LOOPBACK
from tests.support.processes import eventually
from tests.support.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A server that nobody is to come to."""

    listening: socket.socket

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.listening.getsockname()[1]}"

    @property
    def visited(self) -> bool:
        return bool(select.select([self.listening], [], [], 0)[0])


@pytest.fixture(scope="module")
def neighbour() -> Iterator[Neighbour]:
    with socket.create_server((LOOPBACK, 0)) as listening:
        yield Neighbour(listening)


@pytest.fixture(scope="module")
def authorities(key_server: KeyServer) -> tuple[JwksAuthority, OidcAuthority]:
    authorities = JwksAuthority("jwks", key_server), OidcAuthority("oidc", key_server)
    for authority in authorities:
        authority.open()
    return authorities


@pytest.fixture(scope="module")
def pod(
    envoy_version: str,
    upstream: Upstream,
    authorities: tuple[JwksAuthority, OidcAuthority],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KeysPod]:
    with keys_pod(envoy_version, upstream, tmp_path_factory.mktemp("pod"), *authorities) as running:
        yield running


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("file:///etc/passwd", "a file: address"),
        ("http://{neighbour}/keys.json", "http://{neighbour}/keys.json"),
        ("https://{neighbour}/keys.json", "https://{neighbour}/keys.json"),
        ("//{neighbour}/keys.json", "https://{neighbour}/keys.json"),
        ("http://169.254.169.254/latest/", "http://169.254.169.254/latest/"),
        ("https://169.254.169.254/latest/", "https://169.254.169.254/latest/"),
    ],
)
def test_redirect_elsewhere_is_a_failed_refresh_and_nobody_is_visited(
    pod: KeysPod,
    authorities: tuple[JwksAuthority, OidcAuthority],
    key_server: KeyServer,
    neighbour: Neighbour,
    *,
    location: str,
    told: str,
) -> None:
    refused = f"redirects to {told.format(neighbour=neighbour.address)}"

    key_server.misbehave(redirecting(location.format(neighbour=neighbour.address)))
    for authority in authorities:
        eventually(lambda: refused in (pod.issuer(authority.name)["last_error"] or ""))  # noqa: B023 - called before the next
        assert pod.status(authority.token()) == 200
    key_server.behave()

    assert not neighbour.visited


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_discovery_document_cannot_name_keys_elsewhere_without_a_certificate(
    pod: KeysPod,
    authorities: tuple[JwksAuthority, OidcAuthority],
    key_server: KeyServer,
    neighbour: Neighbour,
    scheme: str,
) -> None:
    _, provider = authorities
    path = f"/{provider.name}/.well-known/openid-configuration"
    good = key_server.documents[path]

    key_server.documents[path] = {**good, "jwks_uri": f"{scheme}://{neighbour.address}/keys.json"}
    eventually(lambda: 'names in "jwks_uri"' in (pod.issuer(provider.name)["last_error"] or ""))
    assert pod.status(provider.token()) == 200
    key_server.documents[path] = good

    assert not neighbour.visited
