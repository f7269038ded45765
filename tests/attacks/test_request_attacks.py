"""Attacks with everything but the token: what surrounds it in the request."""

from dataclasses import replace

import pytest

from sidecar.check.conditions import Condition
from sidecar.check.extract import BEARER, CookieSource, HeaderSource, WebSocketProtocolSource
from sidecar.check.rules import AnyRole, Scopes, When
from sidecar.model import Reason, RequestView
from tests.attacks.cases import refused_for
from tests.support.checks import IDENTITY, ROUTES, Service, request, route, token

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


SPELLINGS = [
    *("x-user-id", "x_user_id", "x-user_id", "x_user-id", "x-internal", "x_internal"),
    *(f"x{mark}user{mark}id" for mark in "!#$%&'*+.^`|~"),
    *("x-user.id", "x.user_id", "x~internal"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("path", "bearer"),
    [("/orders/7", VALID), ("/healthz", None), ("/healthz", "garbage"), ("/catalogue/a", None)],
    ids=["authorized", "public", "public with a bad token", "anonymous"],
)
def test_a_spoofed_identity_header_never_reaches_the_service(
    spelling: str, path: str, bearer: str | None
) -> None:
    spoofed = ((spelling, b"root"), (spelling, b"admin"))
    allow = Service().allow(request(bearer, path=path, headers=spoofed))

    overwritten = dict(allow.headers.overwrite)
    assert spelling in allow.headers.remove or overwritten[spelling] == "alice"


@pytest.mark.parametrize(
    ("path", "bearer", "shadow"),
    [
        ("/orders/7", VALID, False),
        ("/healthz", None, False),
        ("/catalogue/a", None, False),
        ("/orders/7", "garbage", True),
        ("//", None, True),
    ],
    ids=["authorized", "public", "anonymous", "shadow", "shadow without a path"],
)
def test_a_client_nominates_no_header_as_one_of_its_connection(
    path: str, bearer: str | None, *, shadow: bool
) -> None:
    nominated = b"upgrade, x-user-id, x-user-scopes, authorization"
    upgrade = (("upgrade", b"websocket"), ("connection", nominated), ("connection", b"x-user-id"))

    allow = Service(shadow=shadow).allow(request(bearer, path=path, headers=upgrade))
    assert dict(allow.headers.overwrite)["connection"] == "upgrade"


@pytest.mark.parametrize("name", ["authorization", "proxy-authorization", "proxy_authorization"])
@pytest.mark.parametrize(
    ("path", "cookie", "shadow"),
    [
        ("/orders/7", b"token=" + VALID.encode(), False),
        ("/healthz", b"", False),
        ("/catalogue/a", b"", False),
        ("/orders/7", b"token=garbage", True),
    ],
    ids=["authorized", "public", "anonymous", "shadow"],
)
def test_a_credential_that_nobody_verified_never_reaches_the_service(
    name: str, path: str, cookie: bytes, *, shadow: bool
) -> None:
    service = Service(sources=(CookieSource("token"),), shadow=shadow)
    forged = ((name, b"Bearer " + OTHER), ("cookie", cookie))

    assert name in service.allow(request(path=path, headers=forged)).headers.remove


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


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spoofed_identity_header_is_removed_in_shadow_mode(spelling: str) -> None:
    allow = Service(shadow=True).allow(request(headers=((spelling, b"root"),)))

    assert spelling in allow.headers.remove
    assert allow.headers.overwrite == ()


GUARDED = (
    *ROUTES,
    route("admin", "/admin/**", AnyRole(frozenset({"admin"}))),
    route("everything", "/**", public=True),
)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/public/../admin/x", id="dot segments"),
        pytest.param("/./admin/x", id="single dot"),
        pytest.param("/public/%2e%2e/admin/x", id="encoded dots"),
        pytest.param("/public/%2E./admin/x", id="one encoded dot"),
        pytest.param("/public/..%2fadmin/x", id="encoded slash"),
        pytest.param("/public%2F..%2Fadmin/x", id="encoded slashes"),
        pytest.param("/public\\..\\admin\\x", id="backslashes"),
        pytest.param("/public/..%5cadmin/x", id="encoded backslash"),
        pytest.param("//admin/x", id="two slashes"),
        pytest.param("/admin//x", id="two slashes inside"),
        pytest.param("/admin;v=1/x", id="parameter"),
        pytest.param("/admin%3bv=1/x", id="encoded parameter"),
        pytest.param("/public/..;/admin/x", id="dots and a parameter"),
        pytest.param("/admin%00/x", id="NUL"),
        pytest.param("/admin\0/x", id="bare NUL"),
        pytest.param("/admin%0a/x", id="newline"),
        pytest.param("/admin/x#", id="fragment"),
        pytest.param("/public#/../admin/x", id="fragment and dots"),
        pytest.param("/adm%c1%a9n/x", id="overlong UTF-8"),
        pytest.param("/%c0%ae%c0%ae/admin/x", id="overlong dots"),
        pytest.param("/admin/%ff", id="not UTF-8"),
        pytest.param("/admin/\xff", id="not ASCII"),
        pytest.param("/admin/%u002e", id="percent u"),
        pytest.param("/admin/%", id="bare percent"),
        pytest.param("/admin /x", id="space"),
        pytest.param("http://orders.shop.test/admin/x", id="absolute form"),
        pytest.param("http://evil.test/admin/x", id="absolute form of another host"),
        pytest.param("orders.shop.test:443", id="authority form"),
        pytest.param("admin/x", id="no slash"),
        pytest.param("*", id="asterisk form"),
        pytest.param("", id="nothing"),
        pytest.param("?/admin/x", id="query alone"),
    ],
)
def test_a_path_that_another_parser_may_read_otherwise_is_refused(path: str) -> None:
    service = Service(routes=GUARDED)

    assert service.reason(request(VALID, path=path)) is Reason.UNSAFE_PATH


@pytest.mark.parametrize(
    "path",
    ["/admin/x", "/%61dmin/x", "/%61%64%6D%69%6e/x", "/admin/x?/../..", "/admin/%2541", "/admin/"],
)
def test_every_other_spelling_leads_to_the_same_route(path: str) -> None:
    deny = Service(routes=GUARDED).deny(request(VALID, path=path))

    assert (deny.route, deny.reason) == ("admin", Reason.MISSING_ROLE)


# "/%2561dmin" is the segment "%61dmin" to everyone who decodes once, as RFC 3986 §2.4 says. To a
# service that decodes twice, or ignores case, each of these may be the protected path.
@pytest.mark.parametrize("path", ["/%2561dmin/x", "/a/%252e%252e/admin/x", "/ADMIN/x", "/Admin/x"])
def test_a_path_is_decoded_once_and_compared_with_case(path: str) -> None:
    allow = Service(routes=GUARDED).allow(request(path=path))

    assert allow.route == "everything"


# Routes that keep encoded slashes, between stricter and wider ones.
KEEPING = (
    route("project", "/projects/{id}", encoded_slashes=True, methods=("GET",)),
    route("package", "/npm/{package}", encoded_slashes=True, public=True),
    route("archive", "/archives/{name}.zip", encoded_slashes=True, public=True),
    route("part", "/npm/*/{part}", encoded_slashes=True, public=True),
    route("own", "/npm/own", Scopes(("never",))),
    *GUARDED,
)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/npm/a%2F..%2Fadmin", id="dot segment between encoded slashes"),
        pytest.param("/npm/a%2f..%2fadmin", id="in small letters"),
        pytest.param("/npm/..%2Fadmin", id="dot segment in front"),
        pytest.param("/npm/..%2F..%2Fadmin%2Fx", id="dot segments in front"),
        pytest.param("/npm/a%2F..", id="dot segment at the end"),
        pytest.param("/npm/a%2F.", id="single dot at the end"),
        pytest.param("/npm/.%2Fa", id="single dot in front"),
        pytest.param("/npm/a%2F.%2Fb", id="single dot between"),
        pytest.param("/npm/a%2F%2e%2E%2Fadmin", id="encoded dots"),
        pytest.param("/npm/a%2F%252e%252e%2Fadmin", id="dots encoded twice"),
        pytest.param("/npm/a%2Fb%252Fadmin", id="a slash encoded twice beside one"),
        pytest.param("/npm/a%252F..%2Fadmin", id="a slash encoded twice and dots"),
        pytest.param("/npm/a%2F%2Fadmin", id="two encoded slashes"),
        pytest.param("/npm/a%2f%2Fadmin", id="two encoded slashes of two spellings"),
        pytest.param("/npm/%2Fadmin", id="encoded slash in front"),
        pytest.param("/npm/a%2F", id="encoded slash at the end"),
        pytest.param("/npm/a%2F/part", id="encoded slash at the end of a segment"),
        pytest.param("/npm%2Fa", id="encoded slash between segments"),
        pytest.param("/npm%2Fown", id="encoded slash in front of a literal segment"),
        pytest.param("/%2Fadmin/x", id="encoded slash in front of all"),
        pytest.param("/npm/a%2F;b", id="parameter behind an encoded slash"),
        pytest.param("/npm/a%2F..;%2Fadmin", id="dots and a parameter"),
        pytest.param("/npm/a%2F%5c..%5cadmin", id="encoded backslash"),
        pytest.param("/npm/a%2Fb\\..\\admin", id="backslash"),
        pytest.param("/npm/a%2Fb%00", id="NUL"),
        pytest.param("/npm/a%2Fb/%2e%2e/admin", id="dot segment behind a segment that keeps"),
        pytest.param("/npm/a%c0%af..%2Fadmin", id="overlong slash"),
        pytest.param("/archives/a%2F.zip", id="at the end of a parameter before text"),
        pytest.param("/archives/a%2F..zip", id="dots before text"),
        pytest.param("/npm/a%2Fb/part", id="under a star"),
        pytest.param("/admin/a%2Fb", id="under a stricter route for the rest"),
        pytest.param("/other/a%2Fb", id="under a wider public route"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("named", [None, "package", "project", "everything"])
def test_an_encoded_slash_that_may_lead_elsewhere_is_refused(
    path: str, method: str, named: str | None
) -> None:
    service = Service(routes=KEEPING)

    view = request(VALID, path=path, method=method, route=named)
    assert service.reason(view) is Reason.UNSAFE_PATH


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_an_encoded_slash_is_not_left_to_a_wider_route(method: str) -> None:
    service = Service(routes=KEEPING)

    for path in ("/projects/a%2Fb", "/projects/a%2fb"):
        view = request(VALID, path=path, method=method)
        assert service.reason(view) is Reason.UNSAFE_PATH


def test_a_kept_slash_never_makes_another_route_of_a_path() -> None:
    service = Service(routes=KEEPING)

    for path in ("/npm/own%2Fx", "/npm/own%2fx"):
        assert service.allow(request(path=path)).route == "package"
    for path in ("/npm/own", "/npm/%6fwn"):
        assert service.deny(request(VALID, path=path)).route == "own"
    assert service.reason(request(path="/projects/a%2Fb")) is Reason.NO_CREDENTIAL


def test_a_condition_tells_a_kept_slash_from_the_text_of_one() -> None:
    condition = Condition("request.params.id == 'a%2Fb' && request.path == '/p/' + 'a%2Fb'")
    service = Service(routes=(route("own", "/p/{id}", When(condition), encoded_slashes=True),))

    for path in ("/p/a%2Fb", "/p/a%2fb", "/p/%61%2f%62"):
        assert service.reason(request(VALID, path=path)) is Reason.AUTHORIZED
    for path in ("/p/a%252Fb", "/p/a%252fb", "/p/a%2FB"):
        assert service.reason(request(VALID, path=path)) is Reason.CONDITION_NOT_MET


def test_a_path_before_literal_text_is_not_cut_within_an_encoding() -> None:
    condition = Condition("request.params.name == 'a '")
    service = Service(routes=(route("own", "/p/{name}0", When(condition)),))

    assert service.reason(request(VALID, path="/p/a%200")) is Reason.AUTHORIZED
    assert service.reason(request(VALID, path="/p/a%20")) is Reason.NO_ROUTE


@pytest.mark.parametrize("method", ["CONNECT", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "*", "orders.shop.test:443"])
def test_a_request_without_a_path_is_refused_even_where_envoy_names_the_route(
    method: str, path: str
) -> None:
    view = request(VALID, method=method, path=path, route="health")

    assert Service().reason(view) is Reason.UNSAFE_PATH


WRITE_ONLY = (
    route("read", "/a", public=True, methods=("GET",)),
    route("write", "/a", Scopes(("write",)), methods=("POST",)),
)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("GET", Reason.PUBLIC),
        ("HEAD", Reason.PUBLIC),
        ("POST", Reason.INSUFFICIENT_SCOPE),
        ("get", Reason.INVALID_METHOD),
        ("Get", Reason.INVALID_METHOD),
        ("head", Reason.INVALID_METHOD),
        ("post", Reason.INVALID_METHOD),
        ("GET ", Reason.INVALID_METHOD),
        ("GET\n", Reason.INVALID_METHOD),
        ("GET\0", Reason.INVALID_METHOD),
        ("GE\u0162", Reason.INVALID_METHOD),
        ("G_ET", Reason.INVALID_METHOD),
        ("GET1", Reason.INVALID_METHOD),
        ("*", Reason.INVALID_METHOD),
        ("", Reason.INVALID_METHOD),
        ("OPTIONS", Reason.NO_ROUTE),
        ("TRACE", Reason.NO_ROUTE),
        ("M-SEARCH", Reason.NO_ROUTE),
        ("PRI", Reason.NO_ROUTE),
    ],
)
def test_a_method_is_what_it_is_and_head_follows_get(method: str, reason: Reason) -> None:
    view = request(VALID, path="/a", method=method, headers=(("x-http-method-override", b"GET"),))

    assert Service(routes=WRITE_ONLY).reason(view) is reason


@pytest.mark.parametrize("named", [None, "open"])
def test_a_route_for_every_method_is_for_no_other_spelling_of_one(named: str | None) -> None:
    service = Service(routes=(route("open", "/a", public=True),))

    for method, reason in (("GET", Reason.PUBLIC), ("get", Reason.INVALID_METHOD)):
        assert service.reason(request(path="/a", method=method, route=named)) is reason


BY_HOST = (
    route("private", "/a", Scopes(("never",)), hosts=("orders.shop.test",)),
    route("family", "/a", Scopes(("never",)), hosts=("*.shop.test",)),
    route("public", "/b", public=True, hosts=("public.test",)),
)


@pytest.mark.parametrize(
    "host",
    [
        "orders.shop.test",
        "ORDERS.shop.TEST",
        "orders.shop.test:443",
        "orders.shop.test:65536",
        "orders.shop.test:",
        "orders.shop.test.",
        "orders.shop.test.:443",
    ],
)
def test_every_spelling_of_a_host_is_that_host(host: str) -> None:
    assert Service(routes=BY_HOST).deny(request(VALID, path="/a", host=host)).route == "private"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "public.test.evil.test",
        "evilpublic.test",
        "public.test@evil.test",
        "public.test/",
        "public.test#",
        "public.test,public.test",
        "public.test\0",
        " public.test",
        "public.test:80:80",
        "public.test:+80",
        "public.test:\u0661",
        "p\u0443blic.test",
        "pub\u0130c.test",
    ],
)
def test_a_host_that_is_not_that_host_reaches_none_of_its_routes(host: str) -> None:
    view = request(VALID, path="/b", host=host)

    assert Service(routes=BY_HOST).reason(view) is Reason.NO_ROUTE


@pytest.mark.parametrize(
    "host", ["ADMIN.test", "admin.test:443", "admin.test.", "Admin.Test.:8080"]
)
def test_a_condition_sees_the_host_that_routes_match(host: str) -> None:
    condition = Condition("request.host != 'admin.test'")
    service = Service(routes=(route("no-admin", "/a", When(condition)),))

    assert service.reason(request(VALID, path="/a", host=host)) is Reason.CONDITION_NOT_MET
    assert service.reason(request(VALID, path="/a", host="other.test")) is Reason.AUTHORIZED


@pytest.mark.parametrize("host", ["admin.test,other.test", "other@admin.test", "\u212a.test"])
def test_a_condition_sees_no_host_where_there_is_none(host: str) -> None:
    """Where Envoy names the route, no host was matched."""
    condition = Condition("request.host != 'admin.test'")
    service = Service(routes=(route("no-admin", None, When(condition)),))
    view = request(VALID, host=host, route="no-admin")

    assert service.reason(view) is Reason.CONDITION_FAILED


BY_TENANT = (
    route(
        "tenant",
        "/logs",
        When(Condition('request.headers["x-tenant"] == claims.sub')),
        headers=("x-tenant",),
    ),
    route(
        "not-root",
        "/not-root",
        When(
            Condition('!("x-tenant" in request.headers) || request.headers["x-tenant"] != "root"')
        ),
        headers=("x-tenant",),
    ),
)
OWN = ("x-tenant", b"alice")


@pytest.mark.parametrize("path", ["/logs", "/not-root"])
@pytest.mark.parametrize(
    "headers",
    [
        (OWN, ("x-tenant", b"root")),
        (("x-tenant", b"root"), OWN),
        (OWN, ("x-tenant", b"")),
        (("x-tenant", b"alice,root"),),
        (("x-tenant", b"alice, root"),),
        (("x-tenant", b"root "),),
        (("x-tenant", b" root"),),
        (("x-tenant", b"root\t"),),
        (("x-tenant", b"root\0"),),
        (("x-tenant", b"root\x0b"),),
        (("x-tenant", "\uff52oot".encode()),),
        (("x-tenant", b"roo\xf4"),),
        (("x-tenant", b"alice\r\nx-tenant: root"),),
    ],
)
def test_a_header_that_two_readers_could_read_differently_is_refused(
    path: str, headers: tuple[tuple[str, bytes], ...]
) -> None:
    denial = Service(routes=BY_TENANT).deny(request(VALID, path=path, headers=headers))

    assert denial.reason is Reason.AMBIGUOUS_REQUEST
    assert denial.route in {"tenant", "not-root"}


@pytest.mark.parametrize(
    "name", ["x_tenant", "x.tenant", "x~tenant", "x-tenant!", "-x-tenant", "x-tenants", "tenant"]
)
def test_a_condition_reads_no_other_header_than_its_own(name: str) -> None:
    service = Service(routes=BY_TENANT)
    view = request(VALID, path="/logs", headers=((name, b"alice"),))

    assert service.reason(view) is Reason.CONDITION_FAILED


@pytest.mark.parametrize("name", ["x_tenant", "x.tenant", "x~tenant"])
@pytest.mark.parametrize("path", ["/logs", "/not-root", "/elsewhere"])
def test_no_service_reads_another_spelling_of_the_header_of_a_condition(
    path: str, name: str
) -> None:
    service = Service(routes=(*BY_TENANT, route("elsewhere", "/elsewhere", optional=True)))

    allowed = service.allow(request(VALID, path=path, headers=((name, b"root"), OWN)))

    assert name in allowed.headers.remove
    assert "x-tenant" not in allowed.headers.remove


def test_a_condition_sees_the_path_and_the_parameters_that_routes_match() -> None:
    condition = Condition("request.path == '/a/b%20c' && request.params.name == 'b c'")
    service = Service(routes=(route("named", "/a/{name}", When(condition)),))

    assert service.reason(request(VALID, path="/%61/%62%20c?d=/e")) is Reason.AUTHORIZED


def test_a_wildcard_host_does_not_match_its_own_suffix() -> None:
    assert Service(routes=BY_HOST).reason(request(VALID, path="/a", host="shop.test")) is (
        Reason.NO_ROUTE
    )


def test_a_route_that_a_client_names_in_a_header_is_nothing() -> None:
    view = request(path="/admin/x", headers=(("x-route", b"health"), ("route", b"health")))

    assert Service().reason(view) is Reason.NO_ROUTE


@pytest.mark.parametrize(
    "principal", ["", "spiffe://shop/ns/orders/", "spiffe://shop/ns/orders/a/b"]
)
def test_a_caller_that_is_not_listed_is_refused(principal: str) -> None:
    headers = (
        ("x-forwarded-client-cert", b"URI=spiffe://shop/ns/orders/billing"),
        ("x-envoy-downstream-service-cluster", b"billing"),
    )
    view = request(VALID, path="/mesh", principal=principal, headers=headers)

    assert Service().reason(view) is Reason.CALLER_NOT_ALLOWED
