"""Attacks with the place of a credential: one credential in two places, two kinds in one place."""

import pytest

from sidecar.check.extract import BEARER, CookieSource, TokenSource, WebSocketProtocolSource
from sidecar.model import Reason, RequestView
from tests.support.gateways import (
    SESSION_COOKIE,
    SSO_COOKIE,
    Gateway,
    partner_token,
    request,
)
from tests.support.tokens import key_for, new_key

COOKIE = CookieSource("id_token")
TWO_PLACES: dict[str, TokenSource] = {
    "sso": SSO_COOKIE,
    "mobile": BEARER,
    "browser": COOKIE,
    "session": SESSION_COOKIE,
}
ONE_PLACE: dict[str, TokenSource] = {"sso": BEARER, "mobile": BEARER, "session": SESSION_COOKIE}
ONE_COOKIE: dict[str, TokenSource] = {
    "sso": SESSION_COOKIE,
    "mobile": BEARER,
    "session": SESSION_COOKIE,
}
VALID = partner_token()
FORGED = partner_token(new_key("ES256", key_for("ES256").kid))
OPAQUE = "alice-at-sso"
EVIL = (("origin", b"https://evil.example"),)


def cookie(value: str, path: str = "/orders/7", **more: object) -> RequestView:
    """A request with the cookie of the JWT."""
    view = request(path, **more)  # type: ignore[arg-type]  # as request takes them
    return view._replace(headers=(*view.headers, ("cookie", f"id_token={value}".encode())))


# One credential in two places.


@pytest.mark.parametrize("view", [request(bearer=VALID), cookie(VALID)], ids=["header", "cookie"])
def test_a_token_is_the_same_persons_in_either_place(view: RequestView) -> None:
    token = Gateway(sources=TWO_PLACES).allow(view).token

    assert token is not None
    assert token.subject == "partner:bob"


@pytest.mark.parametrize(
    ("header", "value"),
    [(VALID, VALID), (VALID, partner_token(subject="eve")), (VALID, "x"), (FORGED, VALID)],
    ids=["the same token", "somebody else's", "nonsense", "a forged one"],
)
@pytest.mark.parametrize("path", ["/orders/7", "/catalogue/toys"])
def test_tokens_in_two_places_are_ambiguous(header: str, value: str, path: str) -> None:
    gateway = Gateway(sources=TWO_PLACES)

    assert gateway.reason(cookie(value, path, bearer=header)) is Reason.AMBIGUOUS_REQUEST


def test_a_token_in_both_places_and_a_session_are_ambiguous() -> None:
    gateway = Gateway(sources=TWO_PLACES)

    for view in (cookie(VALID, sso=OPAQUE), cookie(VALID, session=gateway.session())):
        assert gateway.reason(view) is Reason.AMBIGUOUS_REQUEST


def test_the_place_of_this_token_decides_about_another_sites_page() -> None:
    """The browser adds the cookie by itself, and never the header."""
    gateway = Gateway(sources=TWO_PLACES)
    by_header = request(bearer=VALID, method="POST", headers=EVIL)
    by_cookie = cookie(VALID, method="POST", headers=EVIL)
    beside_an_empty_cookie = cookie("", bearer=VALID, method="POST", headers=EVIL)
    beside_an_empty_header = cookie(VALID, method="POST", headers=(*EVIL, ("authorization", b"")))

    assert gateway.reason(by_header) is Reason.AUTHORIZED
    assert gateway.reason(by_cookie) is Reason.CROSS_SITE_REQUEST
    assert gateway.reason(beside_an_empty_cookie) is Reason.AUTHORIZED
    assert gateway.reason(beside_an_empty_header) is Reason.CROSS_SITE_REQUEST


@pytest.mark.parametrize("path", ["/orders/7", "/healthz", "/catalogue/toys"])
def test_neither_place_goes_on_to_the_service(path: str) -> None:
    allow = Gateway(sources=TWO_PLACES).allow(cookie("" if path != "/orders/7" else VALID, path))

    assert "cookie" in allow.headers.remove
    assert dict(allow.headers.overwrite).get("authorization", "") != f"Bearer {VALID}"


def test_a_token_that_was_remembered_in_one_place_is_still_judged_in_the_other() -> None:
    gateway = Gateway(sources=TWO_PLACES)
    gateway.allow(request(bearer=VALID))

    assert gateway.reason(cookie(VALID, method="POST", headers=EVIL)) is Reason.CROSS_SITE_REQUEST
    assert gateway.verifications.lookups == [False]
    gateway.allow(cookie(VALID))
    assert gateway.verifications.lookups == [False, True]


# Two kinds in one place.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(VALID, Reason.AUTHORIZED, id="a good one"),
        pytest.param(FORGED, Reason.BAD_SIGNATURE, id="forged"),
        pytest.param(partner_token(lifetime=-60), Reason.EXPIRED, id="expired"),
        pytest.param(partner_token(issuer="https://x.example"), Reason.UNTRUSTED_ISSUER, id="iss"),
        pytest.param(partner_token(audience="orders"), Reason.WRONG_AUDIENCE, id="audience"),
        pytest.param(f"{VALID}=", Reason.MALFORMED_TOKEN, id="padded"),
        pytest.param(VALID[:-1], Reason.MALFORMED_TOKEN, id="cut"),
        pytest.param("..", Reason.MALFORMED_TOKEN, id="empty segments"),
        pytest.param(VALID.rpartition(".")[0] + ".", Reason.MALFORMED_TOKEN, id="no signature"),
        pytest.param("a.b.c", Reason.MALFORMED_TOKEN, id="no JSON"),
        pytest.param("sess{1}.!.\xe9", Reason.MALFORMED_TOKEN, id="no base64url"),
        pytest.param("alice.at.sso", Reason.MALFORMED_TOKEN, id="an active session of the SSO"),
        pytest.param("a" * 9000 + "..", Reason.TOKEN_TOO_LARGE, id="too large"),
    ],
)
def test_three_segments_are_never_introspected(text: str, reason: Reason) -> None:
    gateway = Gateway(sources=ONE_PLACE)
    gateway.sso.sessions[text] = gateway.sso.sessions["alice.at.sso"] = gateway.sso.sessions[OPAQUE]
    line = b"Bearer " + text.encode("latin-1")

    assert gateway.reason(request(headers=(("authorization", line),))) is reason
    assert gateway.sso.asked == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{VALID}.", id="a dot too many"),
        pytest.param(f".{VALID}", id="a dot in front"),
        pytest.param(VALID.replace(".", ". .", 1), id="a segment of a space"),
        pytest.param(VALID.rpartition(".")[0], id="two segments"),
        pytest.param(VALID.replace(".", ""), id="no dot"),
        pytest.param("a..b.c.d", id="encrypted, of somebody else"),
        pytest.param("a.b.c.d.e.f", id="six segments"),
    ],
)
def test_what_is_no_jwt_is_never_verified_as_one(text: str) -> None:
    gateway = Gateway(sources=ONE_PLACE)

    assert gateway.reason(request(bearer=text)) is Reason.INACTIVE_SESSION
    assert gateway.sso.asked == 1
    assert gateway.verifications.lookups == []


def test_both_kinds_get_in_by_one_place() -> None:
    gateway = Gateway(sources=ONE_PLACE)

    jwt, opaque = (gateway.allow(request(bearer=text)).token for text in (VALID, OPAQUE))
    assert jwt is not None
    assert opaque is not None
    assert (jwt.credential, jwt.subject) == ("mobile", "partner:bob")
    assert (opaque.credential, opaque.subject) == ("sso", "alice")


def test_a_route_for_one_kind_does_not_take_the_other_of_its_place() -> None:
    gateway = Gateway(sources=ONE_PLACE)

    assert gateway.reason(request("/staff", bearer=OPAQUE)) is Reason.AUTHORIZED
    assert gateway.reason(request("/staff", bearer=VALID)) is Reason.TOKEN_KIND_NOT_ACCEPTED


@pytest.mark.parametrize("other", [VALID, OPAQUE])
@pytest.mark.parametrize("one", [VALID, OPAQUE])
def test_two_texts_in_one_place_are_ambiguous(one: str, other: str) -> None:
    gateway = Gateway(sources=ONE_PLACE)
    lines = tuple(("authorization", f"Bearer {text}".encode()) for text in (one, other))

    assert gateway.reason(request(headers=lines)) is Reason.AMBIGUOUS_REQUEST
    assert gateway.sso.asked == 0


def test_a_session_that_is_refused_is_never_introspected() -> None:
    gateway = Gateway(sources=ONE_COOKIE)
    good = gateway.session()
    changed = good[:-2] + ("AA" if good[-2:] != "AA" else "BB")

    assert gateway.reason(request(session=good)) is Reason.AUTHORIZED
    assert gateway.reason(request(session=changed)) is Reason.INVALID_SESSION
    assert gateway.reason(request(session=VALID)) is Reason.MALFORMED_TOKEN
    assert gateway.sso.asked == 0
    assert gateway.reason(request(session=OPAQUE)) is Reason.AUTHORIZED


def test_a_jwt_that_only_buys_sessions_is_never_introspected_on_a_request() -> None:
    gateway = Gateway(sources=ONE_PLACE, exchange_only=frozenset({"mobile"}))

    assert gateway.reason(request(bearer=VALID)) is Reason.MALFORMED_TOKEN
    assert gateway.sso.asked == 0


# The protocols of a WebSocket.

PROTOCOL_PLACES: dict[str, TokenSource] = {
    **TWO_PLACES,
    "browser": WebSocketProtocolSource("bearer."),
}


def websocket(*protocols: str, path: str = "/orders/7", **more: object) -> RequestView:
    """The opening of a WebSocket that offers these protocols, from another site's page."""
    view = request(path, **more)  # type: ignore[arg-type]  # as request takes them
    offered = ("sec-websocket-protocol", ", ".join(protocols).encode())
    upgrade = (("connection", b"upgrade"), ("upgrade", b"websocket"))
    return view._replace(headers=(*view.headers, *EVIL, *upgrade, offered))


def test_a_page_that_knows_the_token_needs_no_cross_site_check() -> None:
    """It had to write the token into the protocols; a cookie is added by the browser."""
    gateway = Gateway(sources=PROTOCOL_PLACES)

    assert gateway.reason(websocket("chat", f"bearer.{VALID}")) is Reason.AUTHORIZED
    assert gateway.reason(websocket("chat", sso=OPAQUE)) is Reason.CROSS_SITE_REQUEST


@pytest.mark.parametrize("path", ["/orders/7", "/healthz", "/catalogue/toys"])
def test_a_protocol_that_is_a_token_does_not_go_on(path: str) -> None:
    view = websocket("chat", f"bearer.{VALID}", path=path)
    headers = Gateway(sources=PROTOCOL_PLACES).allow(view).headers

    assert dict(headers.overwrite)["sec-websocket-protocol"] == "chat"


def test_a_token_among_the_protocols_that_only_buys_sessions_does_not_go_on() -> None:
    gateway = Gateway(sources=PROTOCOL_PLACES, exchange_only=frozenset({"browser"}))
    view = websocket(f"bearer.{VALID}", bearer=VALID)

    assert "sec-websocket-protocol" in gateway.allow(view).headers.remove


@pytest.mark.parametrize("elsewhere", [{"bearer": VALID}, {"sso": OPAQUE}])
def test_a_token_among_the_protocols_and_one_elsewhere_are_ambiguous(
    elsewhere: dict[str, str],
) -> None:
    view = websocket("chat", f"bearer.{VALID}", **elsewhere)

    assert Gateway(sources=PROTOCOL_PLACES).reason(view) is Reason.AMBIGUOUS_REQUEST
