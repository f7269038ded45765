"""A gateway's session tokens, and what others could make of them. Time stands still at ``NOW``."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.check.refusal import Refusal
from sidecar.model import TokenKind, VerifiedToken
from sidecar.rings.lifecycle import Timings
from sidecar.rings.ring import KeyRing, RingKey
from sidecar.rings.sealing_key import TIMINGS, SealingKey
from sidecar.session.tokens import SessionTokens
from tests.support.checks import ISSUER, NOW
from tests.support.rings import HeldRing
from tests.support.settings import session_token_settings
from tests.support.tokens import Json, segment

IDLE, ABSOLUTE, RENEW = 1800.0, 43200.0, 60.0
SETTINGS = session_token_settings(
    "session", ISSUER, idle=IDLE, absolute=ABSOLUTE, renew=RENEW, leeway=10.0
)


def ring(*keys: SealingKey, timings: Timings = TIMINGS) -> KeyRing:
    """A ring whose keys became active hourly, and the last of them an hour ago."""
    first = NOW - 3600 * len(keys)
    dates = [first + 3600 * number for number in range(len(keys))]
    return KeyRing(timings, tuple(map(RingKey, keys, dates, dates)))


def identity(**changes: Any) -> VerifiedToken:
    """A verified credential that a session may be issued for."""
    usual = VerifiedToken(
        trust="sso",
        kind=TokenKind.EXTERNAL,
        issuer="https://sso.shop.test",
        subject="alice",
        claims={"sub": "alice", "client_id": "shop-web", "auth_time": int(NOW) - 60},
        scopes=frozenset({"orders:read", "orders:write"}),
        roles=frozenset({"clerk"}),
        groups=frozenset({"sales", "support"}),
        fingerprint="0" * 16,
    )
    return usual._replace(**changes)


class Sessions:
    """One gateway's sessions. Its ring may be replaced between two requests."""

    def __init__(self, *keys: SealingKey, **settings: Any) -> None:
        self.ring = ring(*keys or (SealingKey.generate(),))
        self.settings = replace(SETTINGS, **settings)
        self.tokens = SessionTokens(self.settings, HeldRing(lambda: self.ring))

    @property
    def key(self) -> SealingKey:
        """The key that seals."""
        return self.ring.sealer(NOW)

    def begin(
        self, who: VerifiedToken | None = None, *, now: float = NOW, ends: float | None = None
    ) -> str:
        """The text of a new session's token."""
        return self.tokens.begin(who or identity(), now, ends=ends).text

    def open(self, text: str, *, now: float = NOW) -> VerifiedToken | Refusal:
        return self.tokens.open(text, sha256(text.encode("utf-8", "replace")).digest(), now)

    def opened(self, text: str, *, now: float = NOW) -> VerifiedToken:
        token = self.open(text, now=now)
        assert isinstance(token, VerifiedToken), token
        return token

    def refused(self, text: str, *, now: float = NOW) -> Refusal:
        """Why the token does not open, in words that repeat nothing of it and of no key."""
        refusal = self.open(text, now=now)
        assert isinstance(refusal, Refusal)
        shown = repr(refusal)
        assert not [part for part in text.split(".") if len(part) > 8 and part in shown]
        sealing = [each.key for each in self.ring.keys if isinstance(each.key, SealingKey)]
        assert len(sealing) == len(self.ring.keys)
        assert not [key for key in sealing if repr(key.secret) in shown]
        return refusal

    def sealed(
        self,
        *,
        header: Mapping[str, object] | None = None,
        changes: Mapping[str, object] | None = None,
    ) -> str:
        """A token of our own key whose header or claims are changed; None leaves a member out."""
        usual = {"alg": "dir", "enc": "A256GCM", "kid": self.key.kid, "typ": "session+jwt"}
        return sealed(
            _present({**usual, **(header or {})}),
            _present({**claims(), **(changes or {})}),
            self.key,
        )


def claims() -> Json:
    """What is in the token of a session that began now."""
    return {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "alice",
        "sid": "of-this-session",
        "iat": int(NOW),
        "exp": int(NOW + IDLE),
        "session_exp": int(NOW + ABSOLUTE),
        "scope": "orders:read",
        "groups": [],
        "roles": [],
    }


def sealed(
    header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes, key: SealingKey
) -> str:
    """A compact JWE of exactly this header and payload: bytes stay as they are."""
    protected, iv = segment(header), secrets.token_bytes(12)
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    encrypted = AESGCM(key.secret).encrypt(iv, data, protected.encode())
    return ".".join([protected, "", *map(segment, (iv, encrypted[:-16], encrypted[-16:]))])


def _present(members: Mapping[str, object]) -> Json:
    return {name: value for name, value in members.items() if value is not None}
