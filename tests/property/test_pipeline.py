"""Whatever a request looks like, the check neither raises nor lets it through by mistake."""

import re
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.check.extract import BEARER, CookieSource, HeaderSource
from sidecar.model import Allow, Deny, Pending, Reason, RequestView
from tests.property.test_jws import almost_tokens, json_values, tokens
from tests.property.test_path import paths
from tests.support.checks import HOST, IDENTITY, ROUTES, Service, claims, token
from tests.support.tokens import key_for, sign

KEY = key_for("ES256")
VALID = token()
PRINTABLE = re.compile("[!-~](?:[ -~]*[!-~])?")
OWNED = {name for name, _ in IDENTITY.headers} | set(IDENTITY.strip)
PUBLIC = {"health"}
OPTIONAL = {"catalogue"}

# Signed by the issuer, saying anything at all; and everything short of that.
signed = st.dictionaries(
    st.sampled_from(["sub", "scope", "groups", "roles", "aud", "exp", "nbf", "iat", "iss", "x"]),
    json_values,
    max_size=3,
).map(lambda changes: sign({**claims(), **changes}, KEY))
valid = st.just(VALID)
unsigned = almost_tokens | tokens | st.text() | valid.map(lambda text: text[:-4] + "AAAA")

names = st.sampled_from(
    ["authorization", "cookie", "x-token", "x_token", "x-user-id", "x_user_id", "x-internal", "a"]
) | st.text(max_size=8)
values = st.binary(max_size=40) | unsigned.map(
    lambda text: b"Bearer " + text.encode("utf-8", "replace")
)
fields = st.lists(st.tuples(names, values), max_size=6)
known_paths = st.sampled_from(
    ["/healthz", "/orders/7", "/customers/alice/orders", "/catalogue/a", "/jobs", "/mesh", "/staff"]
)


def views(bearers: st.SearchStrategy[str]) -> st.SearchStrategy[RequestView]:
    def headers(parts: tuple[list[tuple[str, bytes]], str]) -> tuple[tuple[str, bytes], ...]:
        others, bearer = parts
        return (*others, ("authorization", b"Bearer " + bearer.encode("utf-8", "replace")))

    return st.builds(
        RequestView,
        method=st.sampled_from(["GET", "POST", "CONNECT", "OPTIONS"]) | st.text(max_size=5),
        path=known_paths | paths,
        host=st.just(HOST) | st.text(max_size=10),
        headers=fields.map(tuple) | st.tuples(fields, bearers).map(headers),
        principal=st.just("spiffe://shop/ns/orders/billing") | st.text(max_size=10),
        route=st.none() | st.sampled_from([route.name for route in ROUTES]) | st.text(max_size=5),
    )


SETTINGS = st.sampled_from(
    [
        {},
        {"shadow": True},
        {"literal_semicolons": True},
        {"identity": replace(IDENTITY, forward_token=False)},
        {"sources": (BEARER, HeaderSource("x-token"), CookieSource("token"))},
    ]
)


def assert_harmless(allow: Allow, view: RequestView) -> None:
    """What goes on to the service carries our headers and nobody else's under our names."""
    overwritten = [name for name, _ in allow.headers.overwrite]
    assert set(overwritten) <= OWNED | {"cookie"}
    assert len(overwritten) == len(set(overwritten))
    assert all(PRINTABLE.fullmatch(value) for _, value in allow.headers.overwrite)
    assert {*overwritten, *allow.headers.remove} >= OWNED
    assert set(overwritten).isdisjoint(allow.headers.remove)
    touched = {*overwritten, *allow.headers.remove}
    spellings = {name.replace("_", "-") for name in OWNED}
    assert all(name in touched for name, _ in view.headers if name.replace("_", "-") in spellings)


@given(views(unsigned), SETTINGS)
def test_without_a_token_of_the_issuer_nothing_protected_is_reached(
    view: RequestView, settings: dict[str, Any]
) -> None:
    result = Service(**settings).check(view)

    if isinstance(result, Allow):
        assert_harmless(result, view)
        assert result.token is None
        assert result.headers.overwrite == ()
        open_to_all = PUBLIC if result.reason is Reason.PUBLIC else OPTIONAL
        assert result.would_deny is not None or result.route in open_to_all


@given(views(signed | valid), SETTINGS)
@example(
    RequestView("GET", "/orders/7", HOST, (("authorization", b"Bearer " + VALID.encode()),)), {}
)
def test_with_a_token_of_the_issuer_only_its_identity_goes_on(
    view: RequestView, settings: dict[str, Any]
) -> None:
    service = Service(**settings)
    first, second = service.check(view), service.check(view)

    # What is remembered in between changes no decision.
    assert first == second
    if isinstance(first, Allow):
        assert_harmless(first, view)
        assert (first.token is None) == (first.reason is not Reason.AUTHORIZED) or first.would_deny
    else:
        assert isinstance(first, Deny | Pending)
