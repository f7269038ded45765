"""What a claim says reaches the service, and nothing else can be said through it."""

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from sidecar.check.cookies import NO_TOKEN_COOKIES
from sidecar.check.identity import IdentityHeaders, encode
from sidecar.model import HeaderChanges, TokenKind, VerifiedToken
from tests.property.test_jws import json_values
from tests.support.checks import request
from tests.support.settings import identity_settings

NAMES = ("x-user-id", "x-user-roles", "x_tenant")
PRINTABLE = re.compile("[!-~](?:[ -~]*[!-~])?|")

# Names that are owned, twins of them, and others.
names = st.lists(
    st.sampled_from([*"abxusertn.~", "-", "_", *NAMES, "x_user.id", "x-tenant"]), max_size=3
)
received = st.lists(st.tuples(names.map("".join), st.binary(max_size=5)), max_size=8).map(tuple)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_split_then_decode_gives_the_items(items: list[str]) -> None:
    assert [unquote(item, errors="strict") for item in encode(items).split(",")] == items


@given(st.text())
def test_one_text_decodes_to_itself(text: str) -> None:
    assert unquote(encode(text), errors="strict") == text


@given(json_values)
def test_a_value_is_printable_ascii_without_spaces_around_it(value: object) -> None:
    assert PRINTABLE.fullmatch(encode(value))


@given(received, json_values, json_values)
def test_what_is_owned_is_set_or_removed_and_nothing_else_is_touched(
    headers: tuple[tuple[str, bytes], ...], subject: object, roles: object
) -> None:
    settings = identity_settings(
        headers=((NAMES[0], ("sub",)), (NAMES[1], ("roles",))),
        strip=(NAMES[2],),
        max_bytes=1 << 20,
    )
    nothing: frozenset[str] = frozenset()
    claims = {"sub": subject, "roles": roles}
    token = VerifiedToken("", TokenKind.REQUEST, "", "", claims, nothing, nothing, nothing, "")

    changes = IdentityHeaders(settings).for_token(request(headers=headers), NO_TOKEN_COOKIES, token)

    assert isinstance(changes, HeaderChanges)
    overwritten = {name for name, _ in changes.overwrite}
    assert overwritten <= set(NAMES)
    assert set(NAMES) <= overwritten | set(changes.remove)
    assert overwritten.isdisjoint(changes.remove)
    spellings = {re.sub("[^a-z0-9]", "-", name) for name in NAMES}
    for name, _ in headers:
        owned = re.sub("[^a-z0-9]", "-", name) in spellings
        assert owned == (name in overwritten or name in changes.remove)
