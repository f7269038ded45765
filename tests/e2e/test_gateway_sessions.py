"""Sessions that browsers hold, through the edge: begun, used, and everything that ends one."""

import base64
import json
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from sidecar.rings.ring_file import load_directory
from tests.e2e.gateway import Edge, Passage, bearer, session, session_in, sso
from tests.e2e.gateway_shop import SESSION, partner_token
from tests.support import sessions
from tests.support.gateway_process import ISSUER, GatewayProcess, keys
from tests.support.http1 import Field, Response
from tests.support.openid_provider import BRIEF_LIFETIME, LIFETIME, OpenIdProvider
from tests.support.processes import eventually
from tests.support.tokens import Json

ATTRIBUTES = {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
FORGET = f"{SESSION}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


@pytest.fixture
def held(edge: Edge, alice: str) -> str:
    """A session of alice's, as her browser holds it."""
    return edge.begin_session(sso(alice))


def header_of(token: str) -> Json:
    part = token.partition(".")[0]
    document: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return document


def ring(gateway: GatewayProcess, name: str) -> Path:
    return gateway.configuration_file.parent / f"{name}-keys"


def sealed_with_our_key(gateway: GatewayProcess, **changes: object) -> str:
    """A session of alice's that the gateway could have made, with these claims changed."""
    key = load_directory(ring(gateway, "session")).sealer(time.time())
    now = int(time.time())
    dates = {"iat": now, "exp": now + 60, "session_exp": now + 60}
    claims = {**sessions.claims(), "iss": ISSUER, "aud": ISSUER, **dates, **changes}
    header = {"alg": "dir", "enc": "A256GCM", "kid": key.kid, "typ": "session+jwt"}
    return sessions.sealed(header, claims, key)


def refused(passage: Passage, reason: str) -> Response:
    """The answer to a request that is refused for this reason."""
    assert passage.response.status == 401
    assert passage.reason == reason
    assert not passage.reached_the_service
    return passage.response


def dies(edge: Edge, text: str, reason: str) -> None:
    """The session is refused, and the browser told to forget it if it has come to its end."""
    told = refused(edge.request(session(text)), reason).values("set-cookie")
    # What this replica cannot open, another one may.
    assert told == ([FORGET] if reason == "expired" else [])


# Begun and used.


def test_a_session_is_begun_for_whoever_has_just_logged_in(edge: Edge, alice: str) -> None:
    response = edge.gateway.internal("POST", "/session", [sso(alice)])

    assert response.status == 204
    assert response.header("cache-control") == "no-store"
    (cookie,) = response.values("set-cookie")
    pair, *attributes = cookie.split("; ")
    assert pair.startswith(f"{SESSION}=")
    assert set(attributes) > ATTRIBUTES
    header = header_of(session_in(response))
    assert header["typ"] == "session+jwt"
    assert header["kid"] not in edge.gateway.published_kids()


@pytest.mark.every_envoy
def test_a_session_stands_for_the_credential_it_was_begun_for(edge: Edge, held: str) -> None:
    received = edge.request(session(held)).received
    assert received.values("x-user-id") == [b"alice"]
    assert received.values("x-user-scopes") == [b"orders:read"]
    assert received.values("x-user-roles") == [b"customer"]

    partners = edge.begin_session(bearer(partner_token()))
    received = edge.request(session(partners)).received
    assert received.values("x-user-id") == [b"partner:bob"]


@pytest.mark.parametrize(
    ("credential", "status", "reason"),
    [
        pytest.param(list, 401, "no_credential", id="nobody"),
        pytest.param(lambda: [sso("never-issued")], 401, "inactive_session", id="logged out"),
        pytest.param(
            lambda: [bearer(partner_token(exp=1))], 401, "expired", id="a token that has expired"
        ),
        pytest.param(
            lambda: [bearer(partner_token(groups=[f"group-{n:034}" for n in range(110)]))],
            403,
            "identity_too_large",
            id="more than a cookie holds",
        ),
        pytest.param(
            lambda: [sso("any"), bearer(partner_token())], 400, "ambiguous_request", id="two"
        ),
    ],
)
def test_no_session_is_begun_for(
    edge: Edge, credential: Callable[[], list[Field]], status: int, reason: str
) -> None:
    response = edge.gateway.internal("POST", "/session", credential())

    assert (response.status, response.json()["reason"]) == (status, reason)
    assert response.values("set-cookie") == []


def test_no_session_is_begun_for_a_session_or_a_token_of_the_services(
    edge: Edge, held: str
) -> None:
    token = edge.request(session(held)).token

    assert edge.gateway.internal("POST", "/session", [session(held)]).status == 401
    assert edge.gateway.internal("POST", "/session", [bearer(token)]).status == 401


@pytest.mark.parametrize("account", ["alice", None])
def test_whoever_asks_for_a_session_leaves_a_trace_and_no_secret(
    edge: Edge, alice: str, account: str | None
) -> None:
    gateway, result = edge.gateway, "issued" if account else "inactive_session"
    text = alice if account else "never-issued-to-anybody"
    request_id = f"login-of-{account}"
    counted = {"credential": "sso", "result": result}
    before = gateway.metric("sidecar_session_requests_total", **counted)

    response = gateway.internal("POST", "/session", [sso(text), ("x-request-id", request_id)])

    assert gateway.metric("sidecar_session_requests_total", **counted) == before + 1
    (line,) = eventually(
        lambda: [each for each in gateway.log() if each.get("request_id") == request_id]
    )
    assert (line["event"], line["credential"]) == ("session", "sso")
    assert line["token"] == sha256(text.encode()).hexdigest()[:16]
    shown = gateway.admin("/").body.decode()
    if account:
        assert (line["decision"], line["sub"]) == ("issued", "alice")
        assert 0 < line["ends_within_s"] <= LIFETIME
        assert session_in(response) not in str(line)
    else:
        assert (line["decision"], line["reason"], line["status"]) == ("deny", result, 401)
        assert request_id in shown
        assert "POST /session" in shown
    assert text not in str(line) + shown


def written(gateway: GatewayProcess, line: Json) -> bool:
    """Whether there is a log line that says this, among other things."""
    return any(line.items() <= each.items() for each in gateway.log())


def test_whatever_the_internal_listener_refuses_leaves_a_trace(gateway: GatewayProcess) -> None:
    refused: list[tuple[str, str, list[Field], str]] = [
        ("GET", "/nowhere-inside", [], "no_route"),
        ("DELETE", "/session", [], "no_route"),
        ("POST", "/session", [("content-length", "2")], "unexpected_body"),
        ("POST", "/session", [("cookie", "a" * 20_000)], "malformed_request"),
    ]
    for method, target, headers, reason in refused:
        before = gateway.metric("sidecar_internal_refusals_total", reason=reason)
        status = gateway.internal(method, target, headers).status

        assert gateway.metric("sidecar_internal_refusals_total", reason=reason) == before + 1
        path = target if reason != "malformed_request" else ""
        line = {"event": "internal", "reason": reason, "status": status, "path": path}
        eventually(partial(written, gateway, line))
        assert reason in gateway.admin("/").body.decode()


# Changed on its way.


@pytest.mark.every_envoy
@pytest.mark.parametrize("number", [0, 2, 3, 4], ids=["header", "vector", "ciphertext", "tag"])
def test_a_tampered_session_dies(edge: Edge, held: str, number: int) -> None:
    parts = held.split(".")
    middle = len(parts[number]) // 2
    flipped = "A" if parts[number][middle] != "A" else "B"
    parts[number] = parts[number][:middle] + flipped + parts[number][middle + 1 :]

    dies(edge, ".".join(parts), "invalid_session")


@pytest.mark.parametrize("kept", [1, 20, -30, -1])
def test_a_truncated_session_dies(edge: Edge, held: str, kept: int) -> None:
    dies(edge, held[:kept], "invalid_session")


@pytest.mark.every_envoy
def test_a_session_of_more_than_4_kib_dies(edge: Edge, held: str) -> None:
    dies(edge, held + "A" * 4096, "token_too_large")


def test_a_dead_session_is_no_matter_where_no_one_asks_for_it(edge: Edge) -> None:
    passage = edge.request(session("dead"), target="/healthz")

    assert passage.response.status == 200
    assert passage.response.values("set-cookie") == []


def test_a_dead_session_is_refused_even_where_none_is_needed(edge: Edge) -> None:
    refused(edge.request(session("dead"), target="/catalogue"), "invalid_session")

    assert edge.request(target="/catalogue").reached_the_service


# After its end.


def test_a_session_ends_with_the_credential_it_was_begun_for(
    edge: Edge, openid_provider: OpenIdProvider
) -> None:
    brief = edge.begin_session(sso(openid_provider.login("alice", brief=True)))
    assert edge.status(session(brief)) == 200

    eventually(lambda: edge.status(session(brief)) == 401, within=BRIEF_LIFETIME + 1)

    dies(edge, brief, "expired")


@pytest.mark.parametrize(
    "ended",
    [
        pytest.param({"iat": -1801, "exp": -1}, id="idle for too long"),
        pytest.param({"iat": -43201, "session_exp": -1}, id="at its absolute end"),
    ],
)
def test_a_session_replayed_after_its_end_dies(
    edge: Edge, gateway: GatewayProcess, ended: dict[str, int]
) -> None:
    now = int(time.time())
    dates = {name: now + offset for name, offset in ended.items()}

    assert edge.status(session(sealed_with_our_key(gateway))) == 200
    dies(edge, sealed_with_our_key(gateway, **dates), "expired")


# Beside another cookie.


@pytest.mark.every_envoy
def test_a_doubled_session_is_ambiguous(edge: Edge, held: str) -> None:
    for cookies in (
        [("cookie", f"{SESSION}={held}; {SESSION}={held}")],
        [session(held), session(held)],
    ):
        response = edge.request(*cookies).response
        assert response.status == 400
        assert response.json()["reason"] == "ambiguous_request"


@pytest.mark.every_envoy
def test_a_session_planted_by_a_sibling_domain_takes_nobodys_place(edge: Edge, held: str) -> None:
    planted = edge.begin_session(bearer(partner_token(subject="mallory")))

    for name in ("session", "__host-session", "__Secure-session", "__Host-Session"):
        cookie = f"{name}={planted}"
        refused(edge.request(("cookie", cookie)), "no_credential")
        beside = edge.request(("cookie", f"{cookie}; {SESSION}={held}"))
        assert beside.received.values("x-user-id") == [b"alice"]


@pytest.mark.every_envoy
def test_a_second_session_under_our_name_is_not_chosen_from(edge: Edge, held: str) -> None:
    planted = edge.begin_session(bearer(partner_token(subject="mallory")))

    for second in (f"{SESSION}={planted}", f"{SESSION} ={planted}", f"{SESSION}="):
        for line in (f"{SESSION}={held}; {second}", f"{second}; {SESSION}={held}"):
            passage = edge.request(("cookie", line))
            assert passage.response.status == 400
            assert not passage.reached_the_service


# When keys change.


def test_a_session_of_an_old_key_goes_on_with_the_new_one(edge: Edge, alice: str) -> None:
    old = edge.begin_session(sso(alice))
    keys(ring(edge.gateway, "session"), "rotate", "--early")

    def renewed() -> str:
        response = edge.request(session(old)).response
        assert response.status == 200
        new = session_in(response) if response.values("set-cookie") else old
        return new if header_of(new)["kid"] != header_of(old)["kid"] else ""

    new = eventually(renewed)

    assert edge.request(session(new)).received.values("x-user-id") == [b"alice"]
    assert edge.status(session(old)) == 200


def test_a_session_of_a_key_that_is_gone_dies(edge: Edge, alice: str) -> None:
    stolen = edge.begin_session(sso(alice))
    kid = header_of(stolen)["kid"]
    keys(ring(edge.gateway, "session"), "rotate", "--revoke", kid, "--force")

    eventually(lambda: edge.status(session(stolen)) == 401)

    dies(edge, stolen, "invalid_session")
    assert edge.status(session(edge.begin_session(sso(alice)))) == 200


def test_new_request_keys_log_nobody_out(edge: Edge, held: str) -> None:
    old = header_of(edge.request(session(held)).token)["kid"]
    keys(ring(edge.gateway, "request"), "rotate", "--early")

    # Every request on the way is accepted by the gateway, and its token by the service.
    eventually(lambda: header_of(edge.request(session(held)).token)["kid"] != old)

    assert edge.request(session(held)).received.values("x-user-id") == [b"alice"]
    assert edge.gateway.published_kids() >= {old}
