"""TLS of the gateway's internal listener: certificates that are renewed, and clients without it."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.clients.http import HttpSettings
from sidecar.errors import ListenFault
from sidecar.keys.settings import OidcKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.oidc import OidcSource
from sidecar.pages.tls import ServerTls
from tests.support import http1
from tests.support.certificates import CertificateAuthority
from tests.support.http1 import Connection
from tests.support.internal_gateway import JWKS, KEY, Gateway
from tests.support.mounted import mount
from tests.support.ports import LOOPBACK


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    authority = CertificateAuthority(tmp_path)
    authority.issue("tls", dns=http1.HOST, address=LOOPBACK)
    return authority


def server_tls(authority: CertificateAuthority) -> ServerTls:
    return ServerTls(authority.directory / "tls.crt", authority.directory / "tls.key")


def shown(gateway: Gateway, authority: CertificateAuthority) -> bytes | None:
    """The certificate that a new connection is shown, once it has answered a request."""
    with Connection((LOOPBACK, gateway.port), tls=authority.client_context()) as connection:
        assert connection.request("GET", JWKS).status == 200
        assert isinstance(connection.socket, ssl.SSLSocket)
        return connection.socket.getpeercert(binary_form=True)


def renewing(
    gateway: Gateway, authority: CertificateAuthority, *changes: Callable[[], object]
) -> list[bytes | None]:
    """The certificates shown at first and after each change."""

    async def story() -> list[bytes | None]:
        async with gateway.serving(server_tls(authority)):
            seen = [await asyncio.to_thread(shown, gateway, authority)]
            for change in changes:
                change()
                seen.append(await asyncio.to_thread(shown, gateway, authority))
            return seen

    return asyncio.run(story())


def test_a_sidecar_reads_the_keys_over_tls(authority: CertificateAuthority) -> None:
    gateway = Gateway(scheme="https")
    settings = OidcKeys(gateway.issuer, HttpSettings(ca_file=authority.certificate_file))

    async def story() -> Fetched:
        async with gateway.serving(server_tls(authority)):
            source = OidcSource(settings)
            try:
                return await source.fetch()
            finally:
                await source.close()

    assert [key.kid for key in asyncio.run(story()).keys] == [KEY.kid]


def test_a_renewed_certificate_is_shown_to_the_next_connection(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    first, same, renewed = renewing(
        gateway, authority, lambda: None, lambda: authority.issue("tls", dns=http1.HOST)
    )
    assert first == same
    assert renewed != first


def test_a_secret_that_is_renewed_in_place_is_shown_to_the_next_connection(
    gateway: Gateway, authority: CertificateAuthority, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()

    def renew() -> None:
        authority.issue("tls", dns=http1.HOST, address=LOOPBACK)
        names = ("tls.crt", "tls.key")
        mount(secret, {name: (authority.directory / name).read_bytes() for name in names})

    async def story() -> list[bytes | None]:
        async with gateway.serving(ServerTls(secret / "tls.crt", secret / "tls.key")):
            seen = []
            for renewals in (0, 1, 0, 1):
                for _ in range(renewals):
                    renew()
                seen.append(await asyncio.to_thread(shown, gateway, authority))
            return seen

    renew()
    first, second, same, third = asyncio.run(story())
    assert second == same
    assert len({first, second, third}) == 3


def test_half_a_renewal_changes_nothing_until_it_is_whole(
    gateway: Gateway, authority: CertificateAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    old = (authority.directory / "tls.key").read_bytes()
    new = []

    def certificate_alone() -> None:
        authority.issue("tls", dns=http1.HOST)
        new.append((authority.directory / "tls.key").read_bytes())
        (authority.directory / "tls.key").write_bytes(old)

    first, half, whole = renewing(
        gateway,
        authority,
        certificate_alone,
        lambda: (authority.directory / "tls.key").write_bytes(new[0]),
    )
    assert half == first
    assert whole != first
    (warning,) = caplog.records
    assert "the key is another certificate's" in warning.problem  # type: ignore[attr-defined]  # an extra


def test_a_certificate_that_is_taken_away_is_shown_on(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    first, then = renewing(gateway, authority, (authority.directory / "tls.crt").unlink)
    assert then == first


def test_old_protocols_are_not_spoken(authority: CertificateAuthority) -> None:
    context = server_tls(authority).context
    assert context.minimum_version.name == "TLSv1_2"


def test_a_client_that_speaks_no_tls_is_hung_up_on(authority: CertificateAuthority) -> None:
    gateway = Gateway(scheme="https")

    def ask() -> bytes:
        with socket.create_connection((LOOPBACK, gateway.port), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return client.recv(100)

    async def story() -> bytes:
        async with gateway.serving(server_tls(authority)):
            return await asyncio.to_thread(ask)

    assert not asyncio.run(story()).startswith(b"HTTP")


def test_files_that_cannot_be_used_are_told_before_anything_listens(
    authority: CertificateAuthority,
) -> None:
    certificate, key = authority.directory / "tls.crt", authority.directory / "other.key"
    with pytest.raises(ListenFault) as fault:
        ServerTls(certificate, key)
    assert str(fault.value) == (
        f"the certificate {certificate} with the key {key} cannot be used: "
        "No such file or directory"
    )
    key.write_text("nothing")
    with pytest.raises(ListenFault, match="what is needed is PEM, and no passphrase"):
        ServerTls(certificate, key)
