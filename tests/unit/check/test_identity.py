from typing import Any
from urllib.parse import unquote

import pytest

from sidecar.check.cookies import NO_TOKEN_COOKIES
from sidecar.check.extract import BEARER, CookieSource, HeaderSource, TokenSource
from sidecar.check.identity import IdentityHeaders, IdentitySettings, encode
from sidecar.check.refusal import Refusal
from sidecar.model import HeaderChanges, Reason, TokenKind, VerifiedToken
from tests.support.checks import request, token_cookies

SETTINGS = IdentitySettings(
    headers=(("x-user-id", ("sub",)), ("x-user-roles", ("realm", "roles"))),
    strip=("x-internal",),
)


def token(**claims: Any) -> VerifiedToken:
    nothing: frozenset[str] = frozenset()
    return VerifiedToken(
        "gateway", TokenKind.REQUEST, "", "", claims, nothing, nothing, nothing, ""
    )


def changes(
    *received: tuple[str, bytes],
    settings: IdentitySettings = SETTINGS,
    source: TokenSource = BEARER,
    **claims: Any,
) -> HeaderChanges:
    headers = IdentityHeaders(settings, (source,))
    view = request(headers=received)
    result = headers.for_token(view, token_cookies(view, source), token(**claims))
    assert isinstance(result, HeaderChanges)
    return result


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("alice", "alice"),
        ("Alice Liddell", "Alice Liddell"),
        (" alice ", "%20alice%20"),
        ("   ", "%20%20%20"),
        ("a,b", "a%2Cb"),
        ("50%", "50%25"),
        ("%2C", "%252C"),
        ("zoë", "zo%C3%AB"),
        ("a\r\nx-admin: 1", "a%0D%0Ax-admin: 1"),
        ("\x00\x7f\x85", "%00%7F%C2%85"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ("", ""),
        ([], ""),
        (["a", "b c", "d,e"], "a,b c,d%2Ce"),
        (["a", None, "", 7, True], "a,,7,true"),
        ([["a", "b"], {"c": "é"}], '["a"%2C"b"],{"c":"%C3%A9"}'),
        ({"a": [1, 2]}, '{"a":[1%2C2]}'),
    ],
)
def test_a_claim_becomes_printable_ascii(value: object, text: str) -> None:
    assert encode(value) == text


def test_split_first_then_decode() -> None:
    names = ["a,b", " c ", "100%", "zoë"]

    assert [unquote(item) for item in encode(names).split(",")] == names


def test_identity_headers_overwrite_and_the_others_owned_are_removed() -> None:
    assert changes(sub="alice") == HeaderChanges(
        overwrite=(("x-user-id", "alice"),), remove=("x-internal", "x-user-roles")
    )


def test_an_identity_header_follows_the_path_of_its_claim() -> None:
    result = changes(sub="alice", realm={"roles": ["clerk", "buyer"]})

    assert result.overwrite == (("x-user-id", "alice"), ("x-user-roles", "clerk,buyer"))


@pytest.mark.parametrize(
    "spelling", ["x_user_id", "x-user_id", "x_user-id", "x_internal", "x_user_roles"]
)
def test_every_received_spelling_of_an_owned_header_is_removed(spelling: str) -> None:
    assert spelling in changes((spelling, b"root"), sub="alice").remove


def test_an_owned_name_with_an_underscore_owns_the_hyphen_too() -> None:
    settings = IdentitySettings(headers=(("x_user", ("sub",)),))

    result = changes(("x-user", b"root"), ("x_user", b"root"), settings=settings, sub="alice")
    assert result == HeaderChanges(overwrite=(("x_user", "alice"),), remove=("x-user",))


def test_other_headers_are_left_alone() -> None:
    received = (("x-user", b"a"), ("x-user-id-2", b"b"), ("accept", b"c"), ("authorization", b"d"))

    assert changes(*received, sub="alice").remove == ("x-internal", "x-user-roles")


def test_nobody_has_no_identity() -> None:
    headers = IdentityHeaders(SETTINGS)

    view = request(headers=(("x-user-id", b"root"), ("x_user_id", b"root")))
    assert headers.for_nobody(view, NO_TOKEN_COOKIES) == HeaderChanges(
        remove=("x-internal", "x-user-id", "x-user-roles", "x_user_id")
    )


def test_an_identity_has_a_size() -> None:
    settings = IdentitySettings(headers=(("x-user-id", ("sub",)),), maximum_bytes=14)
    headers = IdentityHeaders(settings)

    assert headers.for_token(request(), NO_TOKEN_COOKIES, token(sub="alice")) == HeaderChanges(
        overwrite=(("x-user-id", "alice"),)
    )
    assert headers.for_token(request(), NO_TOKEN_COOKIES, token(sub="alicia")) == Refusal(
        Reason.IDENTITY_TOO_LARGE, "15 bytes, and 14 are allowed"
    )


KEPT_BACK = IdentitySettings(headers=(("x-user-id", ("sub",)),), forward_token=False)


def test_a_token_is_forwarded_unless_configured_otherwise() -> None:
    header = ("authorization", b"Bearer abc")

    assert "authorization" not in changes(header, sub="alice").remove
    kept_back = changes(header, settings=KEPT_BACK, sub="alice")
    assert kept_back == HeaderChanges((("x-user-id", "alice"),), ("authorization",))


@pytest.mark.parametrize("source", [BEARER, HeaderSource("x-token"), CookieSource("token")])
def test_a_token_that_is_not_forwarded_reaches_no_service_that_looks_at_none(
    source: TokenSource,
) -> None:
    headers = IdentityHeaders(KEPT_BACK, (BEARER, source))
    received = (("authorization", b"Bearer a"), ("x-token", b"a"), ("cookie", b"a=1; token=a"))

    view = request(headers=received)
    passed_on = headers.for_nobody(view, token_cookies(view, source))
    assert "authorization" in passed_on.remove
    if isinstance(source, HeaderSource):
        assert source.name in passed_on.remove
        assert passed_on.overwrite == ()
    else:
        assert passed_on.overwrite == (("cookie", "a=1"),)


def test_cookies_without_a_token_are_passed_on_untouched() -> None:
    result = changes(("cookie", b"a=\xff"), source=CookieSource("token"), settings=KEPT_BACK)

    assert result.overwrite == ()


def test_a_second_spelling_of_a_tokens_header_never_reaches_the_service() -> None:
    received = (("x-token", b"good"), ("x_token", b"evil"))

    assert "x_token" in changes(*received, source=HeaderSource("x-token"), sub="a").remove
    assert "x-token" not in changes(*received, source=HeaderSource("x-token"), sub="a").remove
    kept_back = changes(*received, source=HeaderSource("x-token"), settings=KEPT_BACK, sub="a")
    assert kept_back.remove == ("x-token", "x_token")


def test_a_token_in_a_cookie_is_taken_out_and_the_other_cookies_stay() -> None:
    cookies = (("cookie", b"a=1; token=abc"), ("cookie", b"b=2"))
    source = CookieSource("token")

    result = changes(*cookies, source=source, settings=KEPT_BACK, sub="alice")
    assert result == HeaderChanges((("x-user-id", "alice"), ("cookie", "a=1; b=2")), ())


def test_a_cookie_header_that_held_only_the_token_goes() -> None:
    cookie = ("cookie", b"token=abc")
    source = CookieSource("token")

    result = changes(cookie, source=source, settings=KEPT_BACK, sub="alice")
    assert result == HeaderChanges((("x-user-id", "alice"),), ("cookie",))


def test_the_other_cookies_stay_as_they_stood() -> None:
    others = 'a = 1;theme="dark; mode";\tflag;; =nameless; name=Jürgen;b=2=3'
    cookie = ("cookie", f"token=abc; {others};; token =abc;\ttoken\t=abc".encode())

    result = changes(cookie, source=CookieSource("token"), settings=KEPT_BACK)

    assert result.overwrite == (("cookie", others),)


def test_a_cookie_that_is_not_text_cannot_be_passed_on() -> None:
    cookie = ("cookie", b"token=abc; a=\xff; \xff=1; c=\x01; d=\xc2\x85; b=2")
    source = CookieSource("token")

    result = changes(cookie, source=source, settings=KEPT_BACK)
    assert result.overwrite == (("cookie", "b=2"),)


def test_a_header_is_never_both_set_and_removed() -> None:
    settings = IdentitySettings(
        headers=(("authorization", ("sub",)),), strip=("authorization",), forward_token=False
    )

    result = changes(("authorization", b"Bearer a"), settings=settings, sub="alice")
    assert result == HeaderChanges(remove=("authorization",))


def test_a_header_that_is_owned_and_carries_the_token_is_still_owned() -> None:
    settings = IdentitySettings(headers=(("authorization", ("sub",)),))
    received = ("authorization", b"Bearer a")

    assert changes(received, settings=settings) == HeaderChanges(remove=("authorization",))
    headers = IdentityHeaders(settings, (BEARER,))
    nobody = headers.for_nobody(request(headers=(received,)), NO_TOKEN_COOKIES)
    assert nobody.remove == ("authorization",)
