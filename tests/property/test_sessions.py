"""A session comes back as it was sealed, and no other text opens."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sidecar.check.refusal import Refusal
from sidecar.jose import jwe
from sidecar.model import Reason
from sidecar.rings.sealing_key import SealingKey
from tests.property.test_jws import ALPHABET, almost_tokens, json_values, tokens
from tests.support.checks import NOW
from tests.support.sessions import ABSOLUTE, IDLE, Sessions, identity, sealed
from tests.support.tokens import segment

KEY = SealingKey("first", bytes(range(32)))
SESSIONS = Sessions(KEY, claims=("kept",), max_bytes=1_000_000)
VALID = SESSIONS.begin()
HEADER = {"alg": "dir", "enc": "A256GCM", "kid": KEY.kid, "typ": "session+jwt"}

names = st.frozensets(st.text(max_size=20), max_size=5)
scopes = st.frozensets(st.from_regex(r"[!#-\[\]-~]{1,10}", fullmatch=True), max_size=5)
positions = st.integers(0, len(VALID) - 1)
values = json_values.filter(lambda value: "Infinity" not in json.dumps(value))
characters = st.sampled_from(ALPHABET + ".=+/ \n\0") | st.characters()


@given(subject=st.text(max_size=20), scopes=scopes, roles=names, groups=names, kept=values)
def test_a_session_comes_back_as_it_was_sealed(
    subject: str,
    scopes: frozenset[str],
    roles: frozenset[str],
    groups: frozenset[str],
    kept: object,
) -> None:
    who = identity(
        subject=subject, scopes=scopes, roles=roles, groups=groups, claims={"kept": kept}
    )

    token = SESSIONS.opened(SESSIONS.begin(who))

    assert (token.subject, token.scopes) == (subject, scopes)
    assert (token.roles, token.groups) == (roles, groups)
    assert token.claims["kept"] == kept


@given(odd=st.frozensets(st.text(max_size=8), max_size=5))
def test_no_scope_is_gained(odd: frozenset[str]) -> None:
    whole = frozenset(scope for scope in odd if scope.isprintable())

    assert SESSIONS.opened(SESSIONS.begin(identity(scopes=whole))).scopes <= whole


@given(st.binary(max_size=200))
def test_any_bytes_come_back_as_they_were_sealed(payload: bytes) -> None:
    # An empty payload has no ciphertext, and what is sealed here is never empty.
    token = jwe.parse(jwe.seal(payload + b"}", KEY, "session+jwt"), "session+jwt")

    assert jwe.unseal(token, KEY) == payload + b"}"


@given(start=positions, length=st.integers(0, 20), instead=st.text(characters, max_size=20))
def test_any_change_of_the_text_is_refused(start: int, length: int, instead: str) -> None:
    changed = VALID[:start] + instead + VALID[start + length :]

    if changed != VALID:
        assert SESSIONS.refused(changed).reason is Reason.INVALID_SESSION


@given(
    st.text()
    | almost_tokens
    | tokens
    | st.builds("{0}..{2}.{1}.{3}".format, *[st.binary(max_size=30).map(segment)] * 4)
)
def test_no_text_that_was_not_sealed_opens(text: str) -> None:
    assert SESSIONS.refused(text).reason is Reason.INVALID_SESSION


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5) | st.binary(max_size=50))
def test_nothing_else_that_our_key_sealed_opens(payload: dict[str, object] | bytes) -> None:
    assert SESSIONS.refused(sealed(HEADER, payload, KEY)).reason is Reason.INVALID_SESSION


@given(
    ends=st.none() | st.floats(NOW, NOW + 2 * ABSOLUTE),
    pauses=st.lists(st.floats(0, IDLE - 1), max_size=60),
)
def test_no_use_of_a_session_prolongs_it(ends: float | None, pauses: list[float]) -> None:
    now, latest = NOW, min(NOW + ABSOLUTE, ends or NOW + ABSOLUTE)
    held = SESSIONS.tokens.begin(identity(), now, ends=ends)
    for pause in pauses:
        now += pause
        token = SESSIONS.open(held.text, now=now)
        assert isinstance(token, Refusal) == (now >= held.expires)
        if isinstance(token, Refusal):
            return
        held = SESSIONS.tokens.renewed(token, now) or held
        assert held.expires <= latest
