import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jwe, jwt
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from sidecar.check.refusal import Refusal
from sidecar.errors import SourceFault
from sidecar.model import Reason, TokenKind
from sidecar.rings.lifecycle import Timings
from sidecar.rings.ring import KeyRing
from sidecar.rings.sealing_key import SealingKey
from sidecar.session.cookies import set_cookie
from sidecar.session.tokens import SessionToken
from tests.support.checks import ISSUER, NOW
from tests.support.sessions import (
    ABSOLUTE,
    IDLE,
    RENEW,
    Sessions,
    claims,
    identity,
    ring,
)

OLD, NEW = SealingKey("old", bytes(32)), SealingKey("new", bytes(range(32)))

# Whose a session is, as operators are told it with a refusal.
ALICE = (("issuer", "session"), ("sub", "alice"))


def renewed(sessions: Sessions, text: str, now: float) -> SessionToken | None:
    return sessions.tokens.renewed(sessions.opened(text, now=now), now)


def renewal(sessions: Sessions, text: str, now: float) -> SessionToken:
    token = renewed(sessions, text, now)
    assert token is not None
    return token


def read(text: str, key: SealingKey) -> Any:
    """The claims, as another implementation reads them."""
    return json.loads(jwe.decrypt_compact(text, OctKey.import_key(key.secret)).plaintext or b"")


# What a session is.


@pytest.mark.parametrize("kind", ["groups", "roles"])
@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (("*",), {"sales", "team-a", "team-a,sales", "team-a:x", "*"}),
        (("sales", "team-*"), {"sales", "team-a", "team-a,sales"}),
        (("none",), set()),
    ],
)
def test_a_session_keeps_the_groups_and_roles_that_are_named(
    kind: str, patterns: tuple[str, ...], kept: set[str]
) -> None:
    names = frozenset({"sales", "team-a", "team-a,sales", "team-a:x", "*"})
    sessions = Sessions(**{kind: patterns})
    text = sessions.begin(identity(**{kind: names}))

    assert getattr(sessions.opened(text), kind) == kept
    renewed_text = renewal(sessions, text, NOW + RENEW).text
    assert getattr(sessions.opened(renewed_text, now=NOW + RENEW), kind) == kept


def test_two_hundred_groups_fit_into_a_session_that_keeps_five() -> None:
    names = frozenset(f"{number:08}-0000-4000-8000-000000000000" for number in range(200))
    needed = tuple(sorted(names)[:5])

    def cookie(**settings: Any) -> str | Refusal:
        sessions = Sessions(**settings)
        token = sessions.tokens.begin(identity(groups=names), NOW, ends=None)
        return set_cookie(sessions.settings, token, NOW)

    refusal = cookie()
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.IDENTITY_TOO_LARGE
    assert "session.groups and session.roles may limit what it keeps" in refusal.detail
    assert isinstance(cookie(groups=needed), str)


def test_a_session_is_the_identity_it_was_issued_for() -> None:
    sessions = Sessions()
    who = identity()
    text = sessions.begin(who)

    token = sessions.opened(text)

    assert (token.trust, token.kind, token.issuer) == ("session", TokenKind.EXTERNAL, ISSUER)
    assert token.subject == who.subject
    assert (token.scopes, token.roles, token.groups) == (who.scopes, who.roles, who.groups)
    assert token.fingerprint == sha256(text.encode()).hexdigest()[:16]


def test_an_identity_without_rights_gains_none() -> None:
    nothing: frozenset[str] = frozenset()
    sessions = Sessions()

    token = sessions.opened(sessions.begin(identity(scopes=nothing, roles=nothing, groups=nothing)))

    assert not token.scopes | token.roles | token.groups


@pytest.mark.parametrize("odd", ["a b", " ", "a\u00a0b", "a\tb"])
def test_a_scope_does_not_become_two(odd: str) -> None:
    sessions = Sessions()

    token = sessions.opened(sessions.begin(identity(scopes=frozenset({odd, "orders:read"}))))

    assert token.scopes <= {odd, "orders:read"}


def test_names_with_spaces_stay_one_role_and_one_group() -> None:
    sessions = Sessions()
    names = frozenset({"order clerks", "ä"})

    token = sessions.opened(sessions.begin(identity(roles=names, groups=names)))

    assert token.roles == token.groups == names


def test_how_the_subject_was_authenticated_is_kept_and_who_acted_for_it_is_not() -> None:
    kept = {
        "client_id": "shop-web",
        "azp": "shop-web",
        "auth_time": NOW - 60,
        "acr": "gold",
        "amr": ["pwd", "otp"],
    }
    sessions = Sessions()

    token = sessions.opened(sessions.begin(identity(claims={**kept, "act": {"sub": "app"}})))

    assert {name: token.claims[name] for name in kept} == kept
    assert "act" not in token.claims


def test_of_the_credentials_other_claims_those_that_are_named_are_kept() -> None:
    sessions = Sessions(claims=("tenant", "missing"))

    token = sessions.opened(
        sessions.begin(identity(claims={"tenant": {"id": 7}, "email": "a@shop.test"}))
    )

    assert token.claims["tenant"] == {"id": 7}
    assert {"email", "missing"}.isdisjoint(token.claims)


def test_the_credentials_claims_do_not_stand_for_the_sessions() -> None:
    own = claims()
    theirs = dict.fromkeys(own, "of the credential")
    sessions = Sessions(claims=tuple(own))

    token = sessions.opened(sessions.begin(identity(claims=theirs)))

    assert "of the credential" not in token.claims.values()


def test_every_session_has_an_id_of_its_own() -> None:
    sessions = Sessions()

    ids = {sessions.opened(sessions.begin()).claims["sid"] for _ in range(100)}

    assert len(ids) == 100


def test_another_implementation_reads_the_same_claims() -> None:
    sessions = Sessions()

    document = read(sessions.begin(now=NOW + 0.9), sessions.key)

    assert document.pop("sid")
    assert document == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "alice",
        "iat": NOW,
        "exp": NOW + IDLE,
        "session_exp": NOW + ABSOLUTE,
        "client_id": "shop-web",
        "auth_time": NOW - 60,
        "scope": "orders:read orders:write",
        "groups": ["sales", "support"],
        "roles": ["clerk"],
    }


def test_what_another_implementation_seals_opens() -> None:
    sessions = Sessions(OLD)
    header = {"alg": "dir", "enc": "A256GCM", "kid": "old", "typ": "session+jwt"}

    text = jwt.encode(header, claims(), OctKey.import_key(OLD.secret), registry=JWERegistry())

    assert sessions.opened(text).claims["sid"] == "of-this-session"


def test_nothing_can_be_sealed_without_an_active_key() -> None:
    sessions = Sessions()
    sessions.ring = ring()

    with pytest.raises(SourceFault, match="no key has been published for long enough"):
        sessions.begin()


def test_a_token_is_not_shown() -> None:
    token = Sessions().tokens.begin(identity(), NOW, ends=None)

    assert repr(token) == f"SessionToken(expires={NOW + IDLE:.0f})"


# When it ends.


@pytest.mark.parametrize("now", [NOW, NOW + IDLE - 1])
def test_a_session_is_alive_until_it_was_idle_for_too_long(now: float) -> None:
    sessions = Sessions()

    assert sessions.opened(sessions.begin(), now=now)


def test_a_session_that_was_idle_for_too_long_has_expired() -> None:
    sessions = Sessions()

    refusal = sessions.refused(sessions.begin(), now=NOW + IDLE)

    held = (("exp", "0 s ago"), *ALICE)
    assert refusal == Refusal(Reason.EXPIRED, "the session was idle for too long", held=held)


def test_a_session_in_use_ends_all_the_same() -> None:
    sessions = Sessions()
    text, now = sessions.begin(), NOW
    while now + RENEW < NOW + ABSOLUTE:
        now += RENEW
        text = renewal(sessions, text, now).text

    assert sessions.opened(text, now=NOW + ABSOLUTE - 1)
    refusal = sessions.refused(text, now=NOW + ABSOLUTE)

    held = (("session_exp", "0 s ago"), *ALICE)
    assert refusal == Refusal(Reason.EXPIRED, "the session has come to its end", held=held)


def test_a_session_ends_with_its_credential() -> None:
    sessions = Sessions()
    text = sessions.begin(ends=NOW + 100.5)
    later = renewal(sessions, text, NOW + 70)

    assert later.expires == NOW + 100
    assert sessions.refused(later.text, now=NOW + 100).reason is Reason.EXPIRED


def test_a_credential_that_lasts_longer_does_not_prolong_its_session() -> None:
    sessions = Sessions()
    token = sessions.opened(sessions.begin(ends=NOW + 2 * ABSOLUTE))

    assert token.claims["session_exp"] == NOW + ABSOLUTE


def test_a_credential_at_its_end_makes_a_session_at_its_end() -> None:
    sessions = Sessions()

    assert sessions.refused(sessions.begin(ends=NOW)).reason is Reason.EXPIRED


# Clocks.


def test_the_clocks_of_two_replicas_may_be_a_leeway_apart() -> None:
    sessions = Sessions(leeway=10.0)
    text = sessions.begin()

    assert sessions.opened(text, now=NOW - 10)
    refusal = sessions.refused(text, now=NOW - 11)
    held = (("iat", "in 11 s"), *ALICE)
    assert refusal == Refusal(Reason.NOT_YET_VALID, "its iat lies in the future", held=held)


def test_a_clock_that_was_set_back_does_not_make_a_renewal_due() -> None:
    sessions = Sessions()

    assert renewed(sessions, sessions.begin(), NOW - 5) is None


def test_a_clock_that_was_set_forward_ends_sessions_and_one_set_back_again_revives_them() -> None:
    sessions = Sessions()
    text = sessions.begin()

    assert sessions.refused(text, now=NOW + 2 * ABSOLUTE).reason is Reason.EXPIRED
    assert sessions.opened(text, now=NOW + 1)


# Renewing.


@pytest.mark.parametrize(("passed", "due"), [(0, False), (RENEW - 1, False), (RENEW, True)])
def test_a_token_is_renewed_when_it_is_time(passed: float, *, due: bool) -> None:
    sessions = Sessions()

    assert (renewed(sessions, sessions.begin(), NOW + passed) is not None) is due


def test_a_renewed_token_is_the_same_session_with_more_time() -> None:
    sessions = Sessions()
    text, now = sessions.begin(), NOW + RENEW
    before = sessions.opened(text)

    later = renewal(sessions, text, now)
    after = sessions.opened(later.text, now=now)

    assert later.text != text
    assert later.expires == now + IDLE
    assert after.claims == {**before.claims, "iat": now, "exp": now + IDLE}
    assert (after.scopes, after.roles) == (before.scopes, before.roles)


def test_a_retired_key_opens_and_the_active_one_seals_anew_at_once() -> None:
    sessions = Sessions(OLD)
    text = sessions.begin()
    sessions.ring = ring(OLD, NEW)

    later = renewal(sessions, text, NOW + 1)

    assert sessions.opened(later.text).claims["kid"] == "new"
    assert renewed(sessions, later.text, NOW + 2) is None
    # The kid is the header's: no copy of it is carried along.
    assert "kid" not in read(later.text, NEW)


@pytest.mark.parametrize(
    "later", [ring(NEW), ring(OLD, NEW, timings=Timings(1, 600))], ids=["revoked", "gone"]
)
def test_a_key_that_is_gone_opens_nothing(later: KeyRing) -> None:
    sessions = Sessions(OLD)
    text = sessions.begin()
    sessions.ring = later

    assert sessions.refused(text) == Refusal(
        Reason.INVALID_SESSION, "its key is unknown here, or gone"
    )


def test_while_no_key_seals_the_token_in_hand_stays_good() -> None:
    sessions = Sessions(OLD)
    text = sessions.begin()
    sessions.ring = replace(sessions.ring, signs_until=NOW)

    assert renewed(sessions, text, NOW + RENEW) is None


# What is no session.


def test_a_token_is_measured_before_it_is_decoded() -> None:
    text = Sessions(OLD).begin()
    fits = len("__Host-session") + len(text)

    assert Sessions(OLD, max_bytes=fits).opened(text)
    refusal = Sessions(OLD, max_bytes=fits - 1).refused(text)
    assert refusal == Refusal(Reason.TOKEN_TOO_LARGE, f"more than {len(text) - 1} bytes")


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: None} for name in claims()),
        *({name: 7} for name in ("iss", "aud", "sub", "sid", "scope")),
        *({name: str(NOW)} for name in ("iat", "exp", "session_exp")),
        {"iat": True},
        {"exp": NOW + 0.5},
        {"aud": [ISSUER]},
        {"groups": "sales"},
        {"roles": ["clerk", 7]},
    ],
    ids=str,
)
def test_only_the_claims_of_a_session_make_one(wrong: dict[str, object]) -> None:
    sessions = Sessions()

    assert sessions.refused(sessions.sealed(changes=wrong)) == Refusal(
        Reason.INVALID_SESSION, "its claims are not those of a session"
    )


@pytest.mark.parametrize("name", ["iss", "aud"])
def test_a_gateway_opens_no_sessions_but_its_own(name: str) -> None:
    sessions = Sessions()

    assert sessions.refused(
        sessions.sealed(changes={name: "https://sibling.shop.test"})
    ) == Refusal(Reason.INVALID_SESSION, "it was made by another gateway")
