from typing import Any
from urllib.parse import unquote

import pytest

from sidecar.check.cookies import NO_TOKEN_COOKIES
from sidecar.check.extract import BEARER, CookieSource, HeaderSource, TokenSource
from sidecar.check.identity import (
    IdentityHeaders,
    IdentitySettings,
    Normalised,
    encode,
    folded,
)
from sidecar.check.refusal import Refusal
from sidecar.model import HeaderChanges, Reason, TokenKind, VerifiedToken
from tests.support.checks import request, token_cookies
from tests.support.settings import identity_settings

SETTINGS = identity_settings(
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
        overwrite=(("x-user-id", "alice"),),
        remove=("proxy-authorization", "x-internal", "x-user-roles"),
    )


def test_an_identity_header_follows_the_path_of_its_claim() -> None:
    result = changes(sub="alice", realm={"roles": ["clerk", "buyer"]})

    assert result.overwrite == (("x-user-id", "alice"), ("x-user-roles", "clerk,buyer"))


# What a header's name may hold besides letters and digits (RFC 9110 §5.6.2).
MARKS = "!#$%&'*+-.^_`|~"


@pytest.mark.parametrize("name", ["x-user-id", "x-user-roles", "x-internal", "proxy-authorization"])
@pytest.mark.parametrize("mark", MARKS.replace("-", ""))
def test_every_received_spelling_of_an_owned_header_is_removed(name: str, mark: str) -> None:
    for spelling in (name.replace("-", mark), name.replace("-", mark, 1)):
        assert spelling in changes((spelling, b"root"), sub="alice").remove


@pytest.mark.parametrize("character", MARKS + " \0é\u212a")
def test_every_character_but_letters_and_digits_is_folded(character: str) -> None:
    assert folded(f"x{character}9{character}z") == "x-9-z"


def test_an_owned_name_with_an_underscore_owns_the_hyphen_too() -> None:
    settings = identity_settings(headers=(("x_user", ("sub",)),))

    result = changes(("x-user", b"root"), ("x_user", b"root"), settings=settings, sub="alice")
    assert result.overwrite == (("x_user", "alice"),)
    assert "x-user" in result.remove


def test_other_headers_are_left_alone() -> None:
    received = (
        *(("x-user", b"a"), ("x-user-id-2", b"b"), ("accept", b"c"), ("authorization", b"d")),
        *(("xauser-id", b"e"), ("x-userid", b"f"), ("x--user-id", b"g"), ("x-user-i", b"h")),
    )

    assert changes(*received, sub="alice") == changes(sub="alice")


def test_nobody_has_no_identity() -> None:
    headers = IdentityHeaders(SETTINGS, (BEARER,))

    view = request(headers=(("x-user-id", b"root"), ("x_user_id", b"root")))
    assert headers.for_nobody(view, NO_TOKEN_COOKIES) == HeaderChanges(
        remove=("proxy-authorization", "x-internal", "x-user-id", "x-user-roles", "x_user_id")
    )


# What a client says about its connection.


@pytest.mark.parametrize(
    "nominated",
    [
        [b"upgrade, x-user-id, authorization"],
        [b"upgrade", b"x-user-id"],
        [b"Upgrade"],
        [b"x-user-id"],
    ],
)
def test_an_upgrade_goes_on_and_nominates_no_header(nominated: list[bytes]) -> None:
    received = [("connection", value) for value in nominated]

    result = changes(*received, ("upgrade", b"websocket"), sub="alice")
    assert ("connection", "upgrade") in result.overwrite
    assert "connection" not in result.remove


def test_an_upgrade_of_nobody_nominates_no_header() -> None:
    view = request(headers=(("connection", b"upgrade, x-user-id"), ("upgrade", b"websocket")))

    assert IdentityHeaders(SETTINGS).for_nobody(view, NO_TOKEN_COOKIES).overwrite == (
        ("connection", "upgrade"),
    )


def test_without_an_upgrade_no_header_is_nominated() -> None:
    result = changes(("connection", b"close, x-user-id"), sub="alice")

    assert "connection" in result.remove


def test_a_request_that_nominates_nothing_is_no_upgrade() -> None:
    assert "connection" not in dict(changes(("upgrade", b"h2c"), sub="alice").overwrite)


# Credentials that nobody verified.

FORGED = (("authorization", b"Bearer forged"), ("proxy-authorization", b"Basic forged"))


@pytest.mark.parametrize("source", [HeaderSource("x-token"), CookieSource("token")])
def test_a_credential_where_no_token_is_taken_from_never_reaches_the_service(
    source: TokenSource,
) -> None:
    headers = IdentityHeaders(SETTINGS, (source,))

    for result in (
        headers.for_nobody(request(headers=FORGED), NO_TOKEN_COOKIES),
        changes(*FORGED, source=source),
    ):
        assert {name for name, _ in FORGED} <= set(result.remove)


def test_the_service_may_check_authorization_itself() -> None:
    settings = identity_settings(passed=("authorization",))

    result = changes(*FORGED, settings=settings, source=CookieSource("token"))
    assert result == HeaderChanges(remove=("proxy-authorization",))


def test_a_token_may_be_taken_from_proxy_authorization() -> None:
    source = HeaderSource("proxy-authorization", "bearer")

    assert "proxy-authorization" not in changes(*FORGED, source=source).remove


# What rules see.


def test_a_header_may_carry_what_rules_see() -> None:
    settings = identity_settings(headers=tuple((f"x-{each.value}", each) for each in Normalised))
    seen = token(roles=["of a claim"])._replace(
        scopes=frozenset({"b:write", "a:read"}), groups=frozenset({"c,d", "a"})
    )

    result = IdentityHeaders(settings, (BEARER,)).for_token(request(), NO_TOKEN_COOKIES, seen)
    assert result == HeaderChanges(
        overwrite=(("x-scopes", "a:read,b:write"), ("x-groups", "a,c%2Cd")),
        remove=("proxy-authorization", "x-roles"),
    )


def test_an_identity_has_a_size() -> None:
    # A header that is not sent, for its claim is missing, has no size.
    sources = (("x-user-id", ("sub",)), ("x-user-name", ("name",)))
    headers = IdentityHeaders(identity_settings(headers=sources, max_bytes=14))

    result = headers.for_token(request(), NO_TOKEN_COOKIES, token(sub="alice"))
    assert isinstance(result, HeaderChanges)
    assert result.overwrite == (("x-user-id", "alice"),)
    assert headers.for_token(request(), NO_TOKEN_COOKIES, token(sub="alicia")) == Refusal(
        Reason.IDENTITY_TOO_LARGE, "15 bytes, and 14 are allowed"
    )


KEPT_BACK = identity_settings(headers=(("x-user-id", ("sub",)),), forward_token=False)


@pytest.mark.parametrize("settings", [SETTINGS, identity_settings()])
def test_of_a_header_that_conditions_read_the_other_spellings_are_removed(
    settings: IdentitySettings,
) -> None:
    headers = IdentityHeaders(settings, (BEARER,), frozenset({"x-scope-orgid"}))
    names = ("x-scope-orgid", "x_scope_orgid", "x-scope.orgid", "x-scope-orgid2", "scope-orgid")
    view = request(headers=tuple((name, b"a") for name in names))
    cookies = token_cookies(view, BEARER)

    for result in (headers.for_token(view, cookies, token()), headers.for_nobody(view, cookies)):
        assert isinstance(result, HeaderChanges)
        removed = [name for name in result.remove if "scope" in name]
        assert removed == ["x-scope.orgid", "x_scope_orgid"]
        assert "x-scope-orgid" not in dict(result.overwrite)


@pytest.mark.parametrize("upgrade", [True, False])
def test_a_header_that_conditions_read_cannot_be_nominated(upgrade: bool) -> None:
    headers = IdentityHeaders(identity_settings(), (BEARER,), frozenset({"x-scope-orgid"}))
    nominated = [("connection", b"upgrade, x-scope-orgid"), ("x-scope-orgid", b"a")]
    upgrades = [("upgrade", b"websocket")] if upgrade else []
    view = request(headers=(*nominated, *upgrades))

    result = headers.for_nobody(view, token_cookies(view, BEARER))

    assert dict(result.overwrite).get("connection") == ("upgrade" if upgrade else None)
    assert ("connection" in result.remove) is not upgrade


def test_a_token_is_forwarded_unless_configured_otherwise() -> None:
    header = ("authorization", b"Bearer abc")

    assert "authorization" not in changes(header, sub="alice").remove
    kept_back = changes(header, settings=KEPT_BACK, sub="alice")
    assert kept_back.overwrite == (("x-user-id", "alice"),)
    assert kept_back.remove == ("authorization", "proxy-authorization")


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
    assert {"x-token", "x_token"} <= set(kept_back.remove)


def test_a_token_in_a_cookie_is_taken_out_and_the_other_cookies_stay() -> None:
    cookies = (("cookie", b"a=1; token=abc"), ("cookie", b"b=2"))
    source = CookieSource("token")

    result = changes(*cookies, source=source, settings=KEPT_BACK, sub="alice")
    assert result.overwrite == (("x-user-id", "alice"), ("cookie", "a=1; b=2"))
    assert "cookie" not in result.remove


def test_a_cookie_header_that_held_only_the_token_goes() -> None:
    cookie = ("cookie", b"token=abc")
    source = CookieSource("token")

    result = changes(cookie, source=source, settings=KEPT_BACK, sub="alice")
    assert result.overwrite == (("x-user-id", "alice"),)
    assert "cookie" in result.remove


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
    settings = identity_settings(
        headers=(("authorization", ("sub",)),), strip=("authorization",), forward_token=False
    )

    result = changes(("authorization", b"Bearer a"), settings=settings, sub="alice")
    assert result == HeaderChanges(remove=("authorization", "proxy-authorization"))


def test_a_header_that_is_owned_and_carries_the_token_is_still_owned() -> None:
    settings = identity_settings(headers=(("authorization", ("sub",)),))
    received = ("authorization", b"Bearer a")

    assert "authorization" in changes(received, settings=settings).remove
    headers = IdentityHeaders(settings, (BEARER,))
    assert (
        "authorization" in headers.for_nobody(request(headers=(received,)), NO_TOKEN_COOKIES).remove
    )
