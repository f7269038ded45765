"""What the tests of minting start from: a credential, a grant, a ring. Time stands at ``NOW``."""

import json
from collections.abc import Mapping
from typing import Any

from sidecar.check import jws
from sidecar.mint.settings import Grant
from sidecar.model import TokenKind, VerifiedToken
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, begin
from tests.support.checks import NOW
from tests.support.settings import request_token_settings

ISSUER = "https://gateway.shop.test"
SETTINGS = request_token_settings(issuer=ISSUER)
GRANT = Grant(("orders", "payments"), frozenset({"orders:read", "payments:pay"}))


def credential(claims: Mapping[str, object] = {}, **changes: Any) -> VerifiedToken:
    """The session of alice, who may read orders and write reviews."""
    usual = VerifiedToken(
        trust="sso",
        kind=TokenKind.EXTERNAL,
        issuer="https://sso.shop.test",
        subject="alice",
        claims={"sub": "alice", "exp": NOW + 3600, "client_id": "shop-web", **claims},
        scopes=frozenset({"orders:read", "reviews:write"}),
        roles=frozenset(),
        groups=frozenset(),
        fingerprint="0123456789abcdef",
    )
    return usual._replace(**changes)


def ring(key: LocalKey, now: float = NOW) -> KeyRing:
    """A ring whose only key is active."""
    return begin(key, Timings(), now)


def read(token: str) -> jws.UnverifiedToken:
    """A token as whoever verifies it reads it."""
    parsed = jws.parse(token, 8192)
    assert isinstance(parsed, jws.UnverifiedToken), parsed
    return parsed


def claims_of(token: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(read(token).payload)
    return document


class MintRecorder:
    """Keeps what a minter reports (``MintObserver``)."""

    def __init__(self) -> None:
        self.results: list[tuple[str, str]] = []

    def minted(self, kind: str, result: str, duration: float) -> None:
        assert duration >= 0
        self.results.append((kind, result))
