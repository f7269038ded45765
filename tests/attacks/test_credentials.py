"""Attacks with where a credential stands, and what stands beside it."""

from dataclasses import replace

import pytest

from sidecar.check.extract import BEARER, CookieSource, HeaderSource, WebSocketProtocolSource
from sidecar.model import Reason, RequestView
from tests.attacks.cases import refused_for
from tests.support.checks import IDENTITY, Service, request, token

VALID = token()
BEARER_VALID = b"Bearer " + VALID.encode()
OTHER = token(subject="bob").encode()


def credentials(*values: bytes) -> RequestView:
    return request(headers=tuple(("authorization", value) for value in values))


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        *refused_for(
            Reason.AMBIGUOUS_REQUEST,
            {
                "two Authorization lines": credentials(BEARER_VALID, b"Bearer " + OTHER),
                "the same line twice": credentials(BEARER_VALID, BEARER_VALID),
                "a valid one behind an empty one": credentials(b"", BEARER_VALID),
                "a valid one before another scheme": credentials(BEARER_VALID, b"Basic YTpi"),
                "joined by a comma": credentials(BEARER_VALID + b",Bearer " + OTHER),
                "joined by a comma and a space": credentials(BEARER_VALID + b", Bearer " + OTHER),
                "a comma at the end": credentials(BEARER_VALID + b","),
                "a comma in front": credentials(b"," + BEARER_VALID),
            },
        ),
        *refused_for(
            Reason.MALFORMED_TOKEN,
            {
                "a token without a scheme, cut by a semicolon": credentials(b"Bearer;" + OTHER),
                "a tab behind the scheme": credentials(b"Bearer\t" + VALID.encode()),
                "a space before the scheme": credentials(b" " + BEARER_VALID),
                "the scheme alone": credentials(b"Bearer"),
                "the scheme twice": credentials(b"Bearer " + BEARER_VALID),
                "bytes that are not UTF-8": credentials(b"Bearer \xff\xfe\xfd"),
                "a valid token and a bad byte": credentials(BEARER_VALID + b"\xff"),
                "a valid token and NUL": credentials(BEARER_VALID + b"\0"),
                "a valid token and CR LF": credentials(BEARER_VALID + b"\r\nx-user-id: root"),
            },
        ),
        *refused_for(
            Reason.UNSUPPORTED_SCHEME,
            {
                "the token as the scheme": credentials(VALID.replace("=", "").encode()),
                "Basic": credentials(b"Basic " + VALID.encode()),
                "DPoP": credentials(b"DPoP " + VALID.encode()),
                "Bearers": credentials(b"Bearers " + VALID.encode()),
            },
        ),
        *refused_for(
            Reason.TOKEN_TOO_LARGE,
            {"60 KiB of Authorization": credentials(b"Bearer " + b"a" * 61_440)},
        ),
        *refused_for(
            Reason.NO_CREDENTIAL,
            {
                "nothing": request(),
                "an empty header": credentials(b""),
                "Proxy-Authorization": request(headers=(("proxy-authorization", BEARER_VALID),)),
                "another spelling of the header": request(
                    headers=(("authorization_", BEARER_VALID),)
                ),
                "a token in the query": request(path=f"/orders/7?access_token={VALID}"),
                "a token in a cookie that is not looked at": request(
                    headers=(("cookie", b"authorization=" + BEARER_VALID),)
                ),
                "identity headers instead of a token": request(headers=(("x-user-id", b"root"),)),
            },
        ),
    ],
)
def test_a_credential_that_is_not_one_token_in_one_place_is_refused(
    view: RequestView, reason: Reason
) -> None:
    assert Service().reason(view) is reason


def test_60_kib_of_other_headers_change_nothing() -> None:
    headers = tuple((f"x-{number}", b"v" * 600) for number in range(100))

    assert Service().reason(request(VALID, headers=headers)) is Reason.AUTHORIZED


@pytest.mark.parametrize(
    "headers",
    [
        (("authorization", BEARER_VALID), ("cookie", b"token=" + OTHER)),
        (("authorization", BEARER_VALID), ("x-token", VALID.encode())),
        (("x-token", VALID.encode()), ("cookie", b"token=" + VALID.encode())),
        (("x-token", VALID.encode()), ("x-token", OTHER)),
        (("cookie", b"token=" + VALID.encode()), ("cookie", b"token=" + OTHER)),
        (("cookie", b"token=" + VALID.encode() + b"; token =" + OTHER),),
    ],
    ids=[
        "Authorization and cookie",
        "Authorization and header",
        "header and cookie",
        "header twice",
        "cookie on two lines",
        "cookie with a space behind its name",
    ],
)
def test_a_token_in_two_places_is_ambiguous(headers: tuple[tuple[str, bytes], ...]) -> None:
    service = Service(sources=(BEARER, HeaderSource("x-token"), CookieSource("token")))

    assert service.reason(request(headers=headers)) is Reason.AMBIGUOUS_REQUEST


@pytest.mark.parametrize("cookie", [b"a=1 token=%s", b"a=1,token=%s", b"\xc2\xa0token=%s"])
@pytest.mark.parametrize("good", [("authorization", BEARER_VALID), ("cookie", b"token=" + OTHER)])
def test_a_token_that_only_the_service_would_find_is_ambiguous(
    good: tuple[str, bytes], cookie: bytes
) -> None:
    service = Service(sources=(BEARER, CookieSource("token")))
    headers = (good, ("cookie", cookie % OTHER))

    for path in ("/orders/7", "/catalogue/a"):
        assert service.reason(request(path=path, headers=headers)) is Reason.AMBIGUOUS_REQUEST


@pytest.mark.parametrize(
    "line",
    [
        b"a;" * 29_000,
        b"a; " * 19_000,
        b";" * 58_000,
        b"token;" * 9_000,
        b"token=;" * 8_000,
        b"x=token=;" * 6_000,
        b"token=" + VALID.encode() + b";a" * 28_000,
        b",token=" * 8_000,
    ],
    ids=[
        "one byte each",
        "one byte and a space",
        "empty ones",
        "the token's name alone",
        "many tokens",
        "the token's name as a value",
        "behind a good token",
        "many tokens without a semicolon",
    ],
)
def test_more_cookies_than_a_browser_keeps_are_not_looked_at(line: bytes) -> None:
    service = Service(sources=(BEARER, CookieSource("token")))

    assert service.reason(request(headers=(("cookie", line),))) is Reason.REQUEST_TOO_LARGE


def test_another_spelling_of_the_tokens_header_does_not_reach_the_service() -> None:
    service = Service(sources=(HeaderSource("x-token"),))
    view = request(headers=(("x-token", VALID.encode()), ("x_token", OTHER)))

    assert "x_token" in service.allow(view).headers.remove


PROTOCOLS = "sec-websocket-protocol"
UPGRADE = (("connection", b"upgrade"), ("upgrade", b"websocket"))
TOKEN_PROTOCOL = b"bearer." + VALID.encode()


@pytest.mark.parametrize("forward_token", [True, False])
@pytest.mark.parametrize("upgrade", [(), UPGRADE], ids=["no upgrade", "upgrade"])
@pytest.mark.parametrize(
    ("path", "lines", "shadow", "rest"),
    [
        ("/orders/7", [TOKEN_PROTOCOL], False, ""),
        ("/orders/7", [b"graphql-ws, " + TOKEN_PROTOCOL + b",chat"], False, "graphql-ws, chat"),
        ("/orders/7", [b"graphql-ws", TOKEN_PROTOCOL, b"chat"], False, "graphql-ws, chat"),
        ("/orders/7", [b",graphql-ws, ,", TOKEN_PROTOCOL + b",,chat"], False, "graphql-ws, chat"),
        ("/healthz", [TOKEN_PROTOCOL], False, ""),
        ("/healthz", [b"chat, bearer.x, bearer.y", TOKEN_PROTOCOL], False, "chat"),
        ("/healthz", [b'chat, x bearer.y, "bearer.z"'], False, "chat"),
        ("/healthz", [b"chat,bearer.x" + b"," * 64], False, ""),
        ("/catalogue/a", [b"chat"], False, "chat"),
        ("/catalogue/a", [b"chat, " + TOKEN_PROTOCOL], False, "chat"),
        ("/orders/7", [b"chat, bearer.garbage"], True, "chat"),
        ("/orders/7", [b"bearer.a, chat, bearer.b"], True, "chat"),
        ("//", [b"chat, " + TOKEN_PROTOCOL], True, "chat"),
    ],
)
def test_a_token_among_the_protocols_never_reaches_the_service(
    *,
    path: str,
    lines: list[bytes],
    shadow: bool,
    rest: str,
    upgrade: tuple[tuple[str, bytes], ...],
    forward_token: bool,
) -> None:
    service = Service(
        sources=(BEARER, WebSocketProtocolSource("bearer.")),
        shadow=shadow,
        identity=replace(IDENTITY, forward_token=forward_token),
    )
    view = request(path=path, headers=(*upgrade, *((PROTOCOLS, line) for line in lines)))

    headers = service.allow(view).headers
    assert dict(headers.overwrite).get(PROTOCOLS, "") == rest
    assert (PROTOCOLS in headers.remove) is (rest == "")


def test_another_spelling_of_the_protocols_does_not_reach_the_service() -> None:
    service = Service(sources=(WebSocketProtocolSource("bearer."),))
    spelling = "sec_websocket.protocol"
    view = request(headers=((PROTOCOLS, TOKEN_PROTOCOL), (spelling, b"bearer." + OTHER)))

    assert spelling in service.allow(view).headers.remove


def test_protocols_are_left_alone_where_they_carry_no_token() -> None:
    headers = Service().allow(request(VALID, headers=((PROTOCOLS, TOKEN_PROTOCOL),))).headers

    assert PROTOCOLS not in dict(headers.overwrite)
    assert PROTOCOLS not in headers.remove


@pytest.mark.parametrize(
    "lines", [[b"bearer.%s, bearer.%s" % (VALID.encode(), OTHER)], [TOKEN_PROTOCOL, TOKEN_PROTOCOL]]
)
@pytest.mark.parametrize("path", ["/orders/7", "/catalogue/a"])
def test_two_tokens_among_the_protocols_are_ambiguous(path: str, lines: list[bytes]) -> None:
    service = Service(sources=(WebSocketProtocolSource("bearer."),))
    view = request(path=path, headers=tuple((PROTOCOLS, line) for line in lines))

    assert service.reason(view) is Reason.AMBIGUOUS_REQUEST


def test_too_many_protocols_are_refused_in_shadow_mode_as_well() -> None:
    service = Service(sources=(WebSocketProtocolSource("bearer."),), shadow=True)
    view = request(headers=((PROTOCOLS, b"," * 64),))

    assert service.deny(view).reason is Reason.REQUEST_TOO_LARGE


@pytest.mark.parametrize("value", [b"Basic YTpi", b"Bearer", b"Bearer " + OTHER, b"a,b", b","])
@pytest.mark.parametrize("path", ["/orders/7", "/catalogue/a"])
def test_a_source_that_did_not_carry_the_token_is_empty(path: str, value: bytes) -> None:
    service = Service(sources=(CookieSource("token"), BEARER))
    headers = (("cookie", b"token=" + VALID.encode()), ("authorization", value))

    assert service.reason(request(path=path, headers=headers)) in {
        Reason.AMBIGUOUS_REQUEST,
        Reason.MALFORMED_TOKEN,
        Reason.UNSUPPORTED_SCHEME,
    }
