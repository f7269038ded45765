"""The gateway's internal listener, over real sockets and as verifiers read it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sidecar.clients.http import HttpSettings
from sidecar.errors import ListenFault
from sidecar.gateway.exchange import Exchanged, IssuedSession
from sidecar.gateway.publishing import Document, jwks_document, metadata_document
from sidecar.keys.settings import JwksKeys, OidcKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.jwks import JwksSource
from sidecar.keys.sources.oidc import OidcSource
from sidecar.model import Deny, Reason, RequestView
from sidecar.pages.internal import LARGEST_HEADER, internal_pages
from sidecar.pages.listener import HttpListener
from sidecar.pages.tls import ServerTls
from tests.support import http1
from tests.support.certificates import CertificateAuthority
from tests.support.http1 import Connection, Field, Response
from tests.support.mounted import mount
from tests.support.ports import LOOPBACK, free_port
from tests.support.sessions import identity
from tests.support.tokens import SigningKey, jwks, key_for, new_key

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
COOKIE = "__Host-session=sealed; Path=/; Secure; HttpOnly; SameSite=Lax"
KEY = key_for("ES256")


@dataclass
class Gateway:
    """What stands behind the pages."""

    port: int = field(default_factory=free_port)
    path: str = ""
    scheme: str = "http"
    key: SigningKey | None = KEY
    outcome: IssuedSession | Deny | Exception = field(
        default_factory=lambda: IssuedSession(COOKIE, identity())
    )
    asked: list[RequestView] = field(default_factory=list)
    sessions: list[tuple[str, Exchanged]] = field(default_factory=list)
    refusals: list[tuple[Reason, int, str]] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"{self.scheme}://{LOOPBACK}:{self.port}{self.path}"

    def jwks(self) -> Document | None:
        return jwks_document(jwks(self.key), 300) if self.key else None

    @property
    def challenge(self) -> tuple[tuple[str, str], ...]:
        return (("realm", "shop"),)

    def metadata(self) -> Document:
        return metadata_document(self.issuer, 3600)

    async def begin_session(self, request: RequestView) -> Exchanged:
        self.asked.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Exchanged("sso", self.outcome)

    def exchanged(
        self, request: RequestView, request_id: str, exchanged: Exchanged, duration: float
    ) -> None:
        del request
        assert duration >= 0
        self.sessions.append((request_id, exchanged))

    def refused(self, request: RequestView, request_id: str, denial: Deny, status: int) -> None:
        del request_id
        self.refusals.append((denial.reason, status, request.path))

    @asynccontextmanager
    async def serving(self, tls: ServerTls | None = None) -> AsyncIterator[None]:
        pages = internal_pages(self.issuer, lambda: self, self)
        listener = HttpListener(LOOPBACK, self.port, pages, tls=tls, largest_header=LARGEST_HEADER)
        await listener.start()
        try:
            yield
        finally:
            await listener.stop()

    def ask(self, asking: Callable[[], Response]) -> Response:
        """Serve while ``asking`` asks, in a thread of its own."""

        async def story() -> Response:
            async with self.serving():
                return await asyncio.to_thread(asking)

        return asyncio.run(story())

    def request(self, method: str, target: str, *headers: Field, body: bytes = b"") -> Response:
        return self.ask(lambda: http1.request((LOOPBACK, self.port), method, target, headers, body))


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


# Keys and metadata.


def fetch(gateway: Gateway, source: JwksSource | OidcSource) -> Fetched:
    async def story() -> Fetched:
        async with gateway.serving():
            try:
                return await source.fetch()
            finally:
                await source.close()

    return asyncio.run(story())


def test_no_keys_are_a_fault_and_not_an_empty_set() -> None:
    response = Gateway(key=None).request("GET", JWKS)

    assert (response.status, response.header("retry-after")) == (503, "1")
    assert response.header("cache-control") == "no-store"


def test_a_sidecar_reads_the_keys_and_how_long_they_serve(gateway: Gateway) -> None:
    source = JwksSource(JwksKeys(gateway.issuer + JWKS, HttpSettings(allow_http=True)))
    fetched = fetch(gateway, source)
    assert [key.kid for key in fetched.keys] == [KEY.kid]
    assert fetched.max_age == 300


@pytest.mark.parametrize("path", ["", "/tenant", "/ten%20ant"])
def test_a_sidecar_finds_the_keys_by_discovery(path: str) -> None:
    gateway = Gateway(path=path)
    source = OidcSource(OidcKeys(gateway.issuer, HttpSettings(allow_http=True)))
    assert [key.kid for key in fetch(gateway, source).keys] == [KEY.kid]


@pytest.mark.parametrize(
    ("target", "media_type"), [(JWKS, "application/jwk-set+json"), (METADATA, "application/json")]
)
def test_a_document_has_its_media_type_and_is_not_sent_to_those_who_have_it(
    gateway: Gateway, target: str, media_type: str
) -> None:
    first = gateway.request("GET", target)
    assert (first.status, first.header("content-type")) == (200, media_type)
    assert (first.header("cache-control") or "").startswith("public, max-age=")
    etag = first.header("etag") or ""

    again = gateway.request("GET", target, ("if-none-match", '"other"'), ("if-none-match", etag))
    assert (again.status, again.body) == (304, b"")
    for name in ("etag", "cache-control"):
        assert again.header(name) == first.header(name)

    gateway.key = new_key("ES256", "next")
    gateway.path = "/moved"
    changed = gateway.request("GET", target, ("if-none-match", etag))
    assert changed.status == 200
    assert changed.header("etag") != etag


def test_head_tells_what_get_would(gateway: Gateway) -> None:
    got, told = gateway.request("GET", JWKS), gateway.request("HEAD", JWKS)
    assert (told.status, told.body) == (200, b"")
    for name in ("etag", "cache-control", "content-type", "content-length"):
        assert told.header(name) == got.header(name)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("GET", JWKS + "/", 404),
        ("GET", "/.well-known/openid-configuration", 404),
        ("POST", JWKS, 405),
        ("DELETE", METADATA, 405),
        ("GET", "/session", 405),
        ("HEAD", "/session", 405),
        ("BREW", "/session", 400),
    ],
)
def test_there_is_nothing_else(gateway: Gateway, method: str, target: str, status: int) -> None:
    assert gateway.request(method, target).status == status
    assert gateway.asked == []


# Sessions.


def test_a_session_is_handed_out_as_a_cookie_that_nobody_keeps(gateway: Gateway) -> None:
    response = gateway.request("POST", "/session")
    assert (response.status, response.body) == (204, b"")
    assert response.header("set-cookie") == COOKIE
    assert response.header("cache-control") == "no-store"


def test_the_credential_is_looked_for_in_the_lines_that_arrived(gateway: Gateway) -> None:
    gateway.request(
        "POST",
        "/session?a=b",
        ("Authorization", "Bearer one"),
        ("authorization", b"Bearer \xff"),
        ("Content-Length", "0"),
    )
    (view,) = gateway.asked
    assert (view.method, view.path, view.host) == ("POST", "/session?a=b", http1.HOST)
    assert view.values("authorization") == [b"Bearer one", b"Bearer \xff"]
    assert view.principal == ""


def test_a_refusal_is_the_problem_that_envoy_would_be_given(gateway: Gateway) -> None:
    forget = "__Host-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    gateway.outcome = Deny(Reason.INACTIVE_SESSION, detail="of the SSO", cookie=forget)
    response = gateway.request("POST", "/session", ("x-request-id", "request-7"))
    assert response.status == 401
    assert response.header("content-type") == "application/problem+json"
    assert response.header("cache-control") == "no-store"
    assert (response.header("www-authenticate") or "").startswith('Bearer realm="shop", error=')
    assert response.header("set-cookie") == forget
    problem = response.json()
    assert (problem["reason"], problem["request_id"]) == ("inactive_session", "request-7")
    assert b"SSO" not in response.body


def test_what_is_held_for_operators_is_in_no_answer(gateway: Gateway) -> None:
    gateway.outcome = Deny(Reason.WRONG_AUDIENCE, held=(("aud", "bank"), ("sub", "mallory")))
    response = gateway.request("POST", "/session")
    assert response.json()["reason"] == "wrong_audience"
    assert "bank" not in repr(response)
    assert "mallory" not in repr(response)


def test_nothing_is_shown_of_a_request_id_that_could_hold_a_token(gateway: Gateway) -> None:
    gateway.outcome = Deny(Reason.INACTIVE_SESSION)
    response = gateway.request("POST", "/session", ("x-request-id", "x" * 65))
    assert response.json()["request_id"] == ""


def test_a_bug_is_a_refusal_with_its_trace_in_the_log(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.outcome = RuntimeError("a bug")
    response = gateway.request("POST", "/session")
    assert response.status == 500
    assert response.json()["reason"] == "internal_error"
    assert response.values("set-cookie") == []
    assert "a bug" in caplog.text


# What is told of it.


def test_every_request_for_a_session_is_told_with_its_id_and_what_came_of_it(
    gateway: Gateway,
) -> None:
    outcomes = (
        gateway.outcome,
        Deny(Reason.INACTIVE_SESSION, detail="of the SSO"),
        RuntimeError("a bug"),
    )
    for number, outcome in enumerate(outcomes):
        gateway.outcome = outcome
        gateway.request("POST", "/session", ("x-request-id", f"request-{number}"))

    assert gateway.sessions == [
        ("request-0", Exchanged("sso", IssuedSession(COOKIE, identity()))),
        ("request-1", Exchanged("sso", Deny(Reason.INACTIVE_SESSION, detail="of the SSO"))),
        ("request-2", Exchanged("", Deny(Reason.INTERNAL_ERROR))),
    ]
    assert gateway.refusals == []


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (("GET", "/nowhere?a=b"), (Reason.NO_ROUTE, 404, "/nowhere?a=b")),
        (("GET", "/session"), (Reason.NO_ROUTE, 405, "/session")),
        (("PUT", "/session"), (Reason.NO_ROUTE, 405, "/session")),
        (("POST", JWKS), (Reason.NO_ROUTE, 405, JWKS)),
        (("POST", "/session", ("content-length", "2")), (Reason.UNEXPECTED_BODY, 413, "/session")),
        (
            ("POST", "/session", ("cookie", "s=" + "a" * 20_000)),
            (Reason.MALFORMED_REQUEST, 400, ""),
        ),
        (("POST", "/session", ("cookie", b"s=\x00")), (Reason.MALFORMED_REQUEST, 400, "")),
        (("BREW", "/session"), (Reason.MALFORMED_REQUEST, 400, "")),
    ],
)
def test_everything_else_that_is_refused_is_told_once(
    gateway: Gateway, sent: tuple[Any, ...], told: tuple[Reason, int, str]
) -> None:
    response = gateway.request(*sent)

    assert response.status == told[1]
    assert gateway.refusals == [told]
    assert gateway.sessions == []


def test_that_there_are_no_keys_yet_is_told() -> None:
    gateway = Gateway(key=None)

    gateway.request("GET", JWKS)

    assert gateway.refusals == [(Reason.KEYS_UNAVAILABLE, 503, JWKS)]


def test_of_what_is_answered_nothing_is_told(gateway: Gateway) -> None:
    for target in (JWKS, METADATA):
        gateway.request("GET", target)

    assert gateway.refusals == []


# Hostile clients.


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("/session", [], b"{}"),
        ("/session", [("content-length", "1000000000")], b"x"),
        ("/session", [("transfer-encoding", "chunked")], b""),
        ("/unknown", [], b"{}"),
    ],
)
def test_a_body_is_refused_unread_and_the_connection_closed(
    gateway: Gateway, target: str, headers: list[Field], body: bytes
) -> None:
    response = gateway.request("POST", target, *headers, body=body)
    assert response.status == 413
    assert response.header("connection") == "close"
    assert gateway.asked == []


def test_requests_that_are_sent_ahead_are_not_looked_at(gateway: Gateway) -> None:
    def ask() -> Response:
        with Connection((LOOPBACK, gateway.port)) as connection:
            connection.socket.sendall(b"POST /session HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            first = connection.receive()
            with pytest.raises(ConnectionResetError):
                connection.receive()
            return first

    response = gateway.ask(ask)
    assert (response.status, response.header("connection")) == (204, "close")
    assert len(gateway.asked) == 1


def test_a_large_credential_fits_and_a_header_beyond_that_is_refused(gateway: Gateway) -> None:
    assert gateway.request("POST", "/session", ("cookie", "s=" + "a" * 12_000)).status == 204
    assert gateway.request("POST", "/session", ("cookie", "s=" + "a" * 20_000)).status == 400
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    "header",
    [("cookie", "s=secret" + "a" * 20_000), ("authorization", b"Bearer secret\x00")],
    ids=["too large", "malformed"],
)
def test_a_credential_that_cannot_be_read_is_not_written_down(
    gateway: Gateway, header: Field, caplog: pytest.LogCaptureFixture
) -> None:
    assert gateway.request("POST", "/session", header).status == 400
    assert "secret" not in caplog.text


def test_clients_that_never_finish_a_request_hold_up_nobody(gateway: Gateway) -> None:
    def ask() -> Response:
        slow = [socket.create_connection((LOOPBACK, gateway.port)) for _ in range(50)]
        try:
            for client in slow:
                client.sendall(b"POST /session HTTP/1.1\r\nhost: x\r\nx-")
            return http1.request((LOOPBACK, gateway.port), "POST", "/session")
        finally:
            for client in slow:
                client.close()

    assert gateway.ask(ask).status == 204


@pytest.mark.parametrize("target", ["/session", "/nowhere"])
def test_an_expectation_is_refused_and_told_of(gateway: Gateway, target: str) -> None:
    response = gateway.request("POST", target, ("expect", "secret"))
    assert (response.status, response.header("connection")) == (400, "close")
    assert gateway.refusals == [(Reason.MALFORMED_REQUEST, 400, "")]
    assert gateway.asked == []


# TLS.


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
