import pytest

from sidecar.check.cookies import NO_TOKEN_COOKIES
from sidecar.check.extract import (
    BEARER,
    CookieSource,
    Credential,
    HeaderSource,
    TokenSource,
    WebSocketProtocolSource,
    extract,
)
from sidecar.check.refusal import Refusal
from sidecar.model import Reason
from tests.support.checks import request, token_cookies

BARE = HeaderSource("x-token")
COOKIE = CookieSource("__Host-token")
PROTOCOL = WebSocketProtocolSource("bearer.")


def found(
    *headers: tuple[str, bytes], sources: tuple[TokenSource, ...] = (BEARER,)
) -> str | Reason | None:
    """The text of the credential, why there is not exactly one, or None where there is none."""
    view = request(headers=headers)
    result = extract(view, sources, token_cookies(view, *sources))
    if isinstance(result, Refusal):
        return result.reason
    return result.text if result is not None else None


def refusal(*headers: tuple[str, bytes], sources: tuple[TokenSource, ...] = (BEARER,)) -> Refusal:
    """Why there is not exactly one credential."""
    view = request(headers=headers)
    result = extract(view, sources, token_cookies(view, *sources))
    assert isinstance(result, Refusal), result
    return result


@pytest.mark.parametrize(
    "value",
    [b"Bearer abc", b"bearer abc", b"BEARER abc", b"Bearer   abc"],
)
def test_the_scheme_is_compared_without_case(value: bytes) -> None:
    assert found(("authorization", value)) == "abc"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"Bearer a b", "a b", id="two words"),
        pytest.param(b"Bearer \xff", "\xff", id="not ASCII"),
        pytest.param(b"Bearer \x00", "\x00", id="NUL"),
    ],
)
def test_what_follows_the_scheme_is_for_the_parser_to_judge(value: bytes, expected: str) -> None:
    assert found(("authorization", value)) == expected


@pytest.mark.parametrize("value", [b" Bearer abc", b"Bearer\tabc", b"\xff abc", b"a;b"])
def test_a_header_without_a_scheme_is_malformed(value: bytes) -> None:
    assert found(("authorization", value)) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("value", [b"Bearer", b"Bearer ", b"bearer   "])
def test_a_scheme_without_a_token_is_malformed_and_not_empty(value: bytes) -> None:
    refused = refusal(("authorization", value))

    assert refused.reason is Reason.MALFORMED_TOKEN
    assert refused.detail == "authorization has the scheme bearer and no token behind it"


@pytest.mark.parametrize(
    "line",
    [
        *(("authorization", b""), ("authorization", b" \t"), ("x-token", b"")),
        *(("cookie", b"__Host-token="), ("cookie", b"a=1; __Host-token= ; b=2")),
    ],
)
def test_an_empty_value_is_no_credential(line: tuple[str, bytes]) -> None:
    sources = (BEARER, BARE, COOKIE)

    assert found(line, sources=sources) is None
    assert found(line, ("x-other", b"a"), sources=sources) is None


@pytest.mark.parametrize("empty", [("authorization", b""), ("cookie", b"__Host-token=")])
def test_an_empty_value_stands_beside_a_token_elsewhere(empty: tuple[str, bytes]) -> None:
    assert found(empty, ("x-token", b"abc"), sources=(BEARER, BARE, COOKIE)) == "abc"


@pytest.mark.parametrize(
    "lines",
    [
        *([("x-token", b""), ("x-token", b"abc")], [("x-token", b"abc"), ("x-token", b"")]),
        *([("x-token", b""), ("x-token", b"")], [("x-token", b",")], [("x-token", b",abc")]),
        *(
            [("cookie", b"__Host-token=; __Host-token=abc")],
            [("cookie", b"__Host-token=;__Host-token=")],
        ),
        [("cookie", b"__Host-token=abc"), ("cookie", b"__Host-token=")],
        [("cookie", b"a=1,__Host-token=")],
    ],
)
def test_lines_are_counted_before_emptiness(lines: list[tuple[str, bytes]]) -> None:
    assert found(*lines, sources=(BARE, COOKIE)) is Reason.AMBIGUOUS_REQUEST


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (("authorization", b"Bearer Bearer a.b.c"), "behind the scheme"),
        (("authorization", b"bearer bearer%20a.b.c"), "behind the scheme"),
        (("x-token", b"Bearer a.b.c"), "in front of the token"),
        (("x-token", b"bEARER  a.b.c"), "in front of the token"),
        (("cookie", b"__Host-token=Bearer a.b.c"), "in front of the token"),
        (("cookie", b"__Host-token=Bearer%20a.b.c"), "in front of the token"),
    ],
)
def test_a_scheme_that_was_pasted_with_the_token_is_told(
    line: tuple[str, bytes], where: str
) -> None:
    refused = refusal(line, sources=(BEARER, BARE, COOKIE))

    assert refused.reason is Reason.MALFORMED_TOKEN
    assert refused.detail == f"there is Bearer {where}; send the token alone"


@pytest.mark.parametrize("text", ["bearer", "Bearer.a.b", "b", "bearer-of-news"])
def test_a_token_may_begin_as_the_scheme_is_called(text: str) -> None:
    assert found(("x-token", text.encode()), sources=(BARE,)) == text


def test_another_scheme_is_not_supported() -> None:
    assert found(("authorization", b"Basic YTpi")) is Reason.UNSUPPORTED_SCHEME


def test_no_header_is_no_credential() -> None:
    assert found(("x-other", b"Bearer abc")) is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([b"Bearer a", b"Bearer b"], id="two lines"),
        pytest.param([b"Bearer a", b"Bearer a"], id="the same line twice"),
        pytest.param([b"Bearer a,Bearer b"], id="joined by Envoy"),
        pytest.param([b"Bearer a", b""], id="one of them empty"),
        pytest.param([b"Basic x, Bearer b"], id="two schemes"),
    ],
)
def test_more_than_one_authorization_is_ambiguous(headers: list[bytes]) -> None:
    lines = [("authorization", value) for value in headers]

    assert found(*lines) is Reason.AMBIGUOUS_REQUEST


def test_a_header_may_carry_the_token_bare() -> None:
    assert found(("x-token", b"abc"), sources=(BARE,)) == "abc"


def test_a_cookie_may_carry_the_token() -> None:
    assert found(("cookie", b"a=1; __Host-token=abc; b=2"), sources=(COOKIE,)) == "abc"
    assert found(("cookie", b"a=1"), ("cookie", b"__Host-token=abc"), sources=(COOKIE,)) == "abc"
    assert found(("cookie", b"__host-token=abc"), sources=(COOKIE,)) is None


@pytest.mark.parametrize(
    "lines",
    [
        [b"__Host-token=a; __Host-token=b"],
        [b"__Host-token=a", b"__Host-token=b"],
        [b"__Host-token=a; __Host-token =b"],
        [b"__Host-token=a;\t__Host-token=b"],
    ],
    ids=["one line", "two lines", "space before the equals sign", "tab"],
)
def test_a_cookie_that_is_there_twice_is_ambiguous(lines: list[bytes]) -> None:
    cookies = [("cookie", line) for line in lines]

    assert found(*cookies, sources=(COOKIE,)) is Reason.AMBIGUOUS_REQUEST


def test_a_token_in_two_places_is_ambiguous() -> None:
    both = (("authorization", b"Bearer a"), ("cookie", b"__Host-token=a"))

    assert found(*both, sources=(BEARER, COOKIE)) is Reason.AMBIGUOUS_REQUEST
    assert found(both[1], sources=(BEARER, COOKIE)) == "a"


def test_a_credential_knows_where_it_came_from() -> None:
    view = request(headers=(("x-token", b"abc"),))

    assert extract(view, (BEARER, BARE), NO_TOKEN_COOKIES) == Credential(BARE, "abc")


# A token among the protocols of a WebSocket.


def offering(*lines: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple(("sec-websocket-protocol", line) for line in lines)


@pytest.mark.parametrize(
    "lines",
    [
        [b"graphql-ws, bearer.a.b.c"],
        [b"bearer.a.b.c,graphql-ws"],
        [b"graphql-ws", b"bearer.a.b.c"],
        [b" ,\t, bearer.a.b.c\t ,,"],
        [b"x" + b",x" * 62 + b",bearer.a.b.c"],
    ],
    ids=["last", "first", "on a line of its own", "among empty members", "as the last allowed"],
)
def test_a_protocol_with_the_prefix_carries_the_token(lines: list[bytes]) -> None:
    assert found(*offering(*lines), sources=(PROTOCOL,)) == "a.b.c"


@pytest.mark.parametrize(
    "line", [b"", b",", b"graphql-ws", b"Bearer.a", b"bearer", b"x-bearer.a", b"a b", b'"a"']
)
def test_a_protocol_without_the_prefix_is_no_credential(line: bytes) -> None:
    assert found(*offering(line), sources=(PROTOCOL,)) is None
    assert found(*offering(line), ("authorization", b"Bearer b"), sources=(BEARER, PROTOCOL)) == "b"


def test_a_request_that_offers_no_protocol_may_have_its_token_elsewhere() -> None:
    assert found(sources=(PROTOCOL,)) is None
    assert found(("authorization", b"Bearer b"), sources=(BEARER, PROTOCOL)) == "b"


@pytest.mark.parametrize(
    "lines",
    [
        *([b"bearer.a, bearer.b"], [b"bearer.a", b"bearer.b"], [b"bearer.a,x,bearer.a"]),
        *([b"bearer.a,bearer."], [b"bearer.", b"bearer."]),
    ],
)
def test_two_tokens_among_the_protocols_are_ambiguous(lines: list[bytes]) -> None:
    refused = refusal(*offering(*lines), sources=(PROTOCOL,))

    assert refused.reason is Reason.AMBIGUOUS_REQUEST
    assert refused.detail == "there is more than one token in sec-websocket-protocol"


@pytest.mark.parametrize("member", [b"x bearer.b", b'"bearer.b"', b"x;bearer.b", b"\xa0bearer.b"])
@pytest.mark.parametrize("token", [b"", b"bearer.a,"])
def test_a_token_that_only_some_servers_find_among_the_protocols_is_ambiguous(
    token: bytes, member: bytes
) -> None:
    refused = refusal(*offering(token + member), sources=(PROTOCOL,))

    assert refused.reason is Reason.AMBIGUOUS_REQUEST
    assert refused.detail.startswith("only some servers find the token")


@pytest.mark.parametrize("other", [("authorization", b"Bearer a"), ("cookie", b"__Host-token=a")])
def test_a_token_among_the_protocols_and_one_elsewhere_are_ambiguous(
    other: tuple[str, bytes],
) -> None:
    sources = (BEARER, COOKIE, PROTOCOL)

    assert found(*offering(b"bearer.a"), other, sources=sources) is Reason.AMBIGUOUS_REQUEST
    assert found(*offering(b"graphql-ws"), other, sources=sources) == "a"


def test_a_prefix_without_a_token_is_malformed() -> None:
    refused = refusal(*offering(b"graphql-ws, bearer."), sources=(PROTOCOL,))

    assert refused.reason is Reason.MALFORMED_TOKEN
    assert refused.detail == (
        "sec-websocket-protocol has the prefix bearer. and no token behind it"
    )


@pytest.mark.parametrize("lines", [[b"x," * 64], [b"x"] * 65, [b"," * 50_000]])
def test_more_protocols_than_any_client_offers_are_not_looked_at(lines: list[bytes]) -> None:
    refused = refusal(*offering(*lines), sources=(PROTOCOL,))

    assert refused.reason is Reason.REQUEST_TOO_LARGE
    assert refused.detail == "sec-websocket-protocol has more than 64 members"
