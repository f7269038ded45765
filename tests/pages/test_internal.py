"""The gateway's internal listener, over real sockets and as verifiers read it."""

import asyncio
import socket
from typing import Any

import pytest

from sidecar.clients.http import HttpSettings
from sidecar.gateway.exchange import Exchanged, IssuedSession
from sidecar.keys.settings import JwksKeys, OidcKeys
from sidecar.keys.sources import Fetched
from sidecar.keys.sources.jwks import JwksSource
from sidecar.keys.sources.oidc import OidcSource
from sidecar.model import Deny, Reason
from tests.support import http1
from tests.support.http1 import Connection, Field, Response
from tests.support.internal_gateway import COOKIE, JWKS, KEY, Gateway
from tests.support.ports import LOOPBACK
from tests.support.sessions import identity
from tests.support.tokens import new_key

METADATA = "/.well-known/oauth-authorization-server"


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
