import pytest

from sidecar.check.extract import BEARER, CookieSource, HeaderSource, TokenSource
from sidecar.gateway.cross_site import refuse_cross_site
from sidecar.model import Reason, RequestView

COOKIE = CookieSource("sso_session")
HOST = "shop.example"
ORIGINS = frozenset({"https://www.shop.example"})


def reason(
    method: str = "POST",
    *fields: tuple[str, str],
    host: str = HOST,
    source: TokenSource = COOKIE,
) -> Reason | None:
    headers = tuple((name, value.encode()) for name, value in fields)
    request = RequestView(method, "/orders", host, headers)
    refusal = refuse_cross_site(request, source, ORIGINS)
    return refusal.reason if refusal else None


@pytest.mark.parametrize("origin", ["https://shop.example", "https://www.shop.example"])
def test_a_page_of_the_same_or_of_a_listed_origin_may_use_the_cookie(origin: str) -> None:
    assert reason("POST", ("origin", origin)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://sibling.shop.example",
        "https://WWW.shop.example",
        "https://www.shop.example/",
        "null",
        "",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get"])
def test_a_page_of_any_other_may_not(method: str, origin: str) -> None:
    assert reason(method, ("origin", origin)) is Reason.CROSS_SITE_REQUEST


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ([("origin", "https://evil.example")], ("origin", "https://evil.example")),
        (
            [("origin", "null"), ("origin", "https://a.example")],
            ("origin", "null, https://a.example"),
        ),
        ([("sec-fetch-site", "cross-site")], ("sec-fetch-site", "cross-site")),
        (
            [("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin")],
            ("sec-fetch-site", "none, same-origin"),
        ),
    ],
)
def test_operators_see_where_the_page_is_from(
    fields: list[tuple[str, str]], held: tuple[str, str]
) -> None:
    headers = tuple((name, value.encode()) for name, value in fields)
    refusal = refuse_cross_site(RequestView("POST", "/orders", HOST, headers), COOKIE, ORIGINS)

    assert refusal is not None
    assert refusal.held == (held,)
    assert held[1] not in refusal.detail


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("shop.example:8443", "https://shop.example:8443"),
        ("Shop.Example:8443", "https://shop.example:8443"),
        ("SHOP.example", "https://shop.example"),
        ("shop.example:443", "https://shop.example"),
        ("shop.example", "https://shop.example:443"),
        ("shop.example:80", "https://shop.example:80"),
        ("[2001:db8::443]", "https://[2001:db8::443]"),
        ("[2001:db8::1]:443", "https://[2001:db8::1]"),
        # Envoy takes the dot away from a host; a browser leaves it in the origin.
        ("shop.example", "https://shop.example."),
        ("shop.example:8443", "https://shop.example.:8443"),
        ("shop.example.", "https://shop.example"),
    ],
)
def test_a_page_of_the_same_host_and_port_may(host: str, origin: str) -> None:
    assert reason("POST", ("origin", origin), host=host) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("shop.example:8443", "https://shop.example"),
        ("shop.example:8443", "https://shop.example:443"),
        ("shop.example:8443", "https://shop.example:8444"),
        ("shop.example", "https://shop.example:8443"),
        ("shop.example:443", "https://shop.example:8443"),
        ("shop.example:80", "https://shop.example"),
        ("shop.example", "https://shop.example:80"),
        ("shop.example:8443", "http://shop.example:8443"),
        ("", "https://"),
        ("", "https://:443"),
        ("", "https://."),
        (".", "https://."),
        ("shop.example", "https://shop.example.."),
        ("shop.example", "https://shop.example.:8443"),
        ("shop.example", "https://shop.example./"),
    ],
)
def test_a_page_of_another_port_of_the_host_may_not(host: str, origin: str) -> None:
    assert reason("POST", ("origin", origin), host=host) is Reason.CROSS_SITE_REQUEST


def test_the_edge_says_whether_the_page_came_over_tls() -> None:
    http, https = ("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")
    plain, secure = ("origin", "http://shop.example"), ("origin", "https://shop.example")

    assert reason("POST", plain, http) is None
    assert reason("POST", ("origin", "http://shop.example:80"), http) is None
    assert reason("POST", plain, http, host="shop.example:80") is None
    assert reason("POST", secure, https) is None
    for stated in ([secure, http], [plain, https], [plain, http, http], [plain]):
        assert reason("POST", *stated) is Reason.CROSS_SITE_REQUEST


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_method_that_changes_nothing_is_anybodys(method: str) -> None:
    assert reason(method, ("origin", "https://evil.example")) is None


def test_a_websocket_is_no_harmless_get() -> None:
    upgrade = ("upgrade", "websocket")

    assert reason("GET", upgrade, ("origin", "https://evil.example")) is Reason.CROSS_SITE_REQUEST
    assert reason("GET", upgrade, ("origin", "https://shop.example")) is None


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("same-origin", None),
        ("none", None),
        ("same-site", Reason.CROSS_SITE_REQUEST),
        ("cross-site", Reason.CROSS_SITE_REQUEST),
        ("odd", Reason.CROSS_SITE_REQUEST),
    ],
)
def test_without_an_origin_the_browser_says_whose_page_it_is(
    site: str, expected: Reason | None
) -> None:
    assert reason("POST", ("sec-fetch-site", site)) is expected


def test_a_client_that_is_no_browser_says_neither() -> None:
    assert reason("POST") is None


@pytest.mark.parametrize("name", ["origin", "sec-fetch-site"])
def test_what_is_said_twice_is_believed_neither_time(name: str) -> None:
    good = {"origin": "https://shop.example", "sec-fetch-site": "same-origin"}[name]

    assert reason("POST", (name, good), (name, good)) is Reason.CROSS_SITE_REQUEST


def test_the_origin_counts_more_than_the_site() -> None:
    own, other = ("sec-fetch-site", "same-site"), ("origin", "https://www.shop.example")

    assert reason("POST", own, other) is None


@pytest.mark.parametrize("source", [BEARER, HeaderSource("x-session")])
def test_a_header_is_not_added_by_a_browser_on_its_own(source: TokenSource) -> None:
    assert reason("POST", ("origin", "https://evil.example"), source=source) is None


@pytest.mark.parametrize("scheme", ["Basic", "negotiate"])
def test_what_a_browser_remembers_of_a_login_is(scheme: str) -> None:
    source = HeaderSource("authorization", scheme)

    refusal = reason("POST", ("origin", "https://evil.example"), source=source)
    assert refusal is Reason.CROSS_SITE_REQUEST
    assert reason("POST", ("origin", "https://shop.example"), source=source) is None
