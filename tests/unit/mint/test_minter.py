import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.check.refusal import Refusal
from sidecar.errors import SourceFault
from sidecar.mint.minter import Minter
from sidecar.mint.settings import Grant
from sidecar.model import KeyQuestion, Pending, Reason, VerifiedToken
from sidecar.rings.lifecycle import Timings
from sidecar.rings.local_key import LocalKey
from sidecar.rings.ring import KeyRing, RingKey
from tests.support.checks import NOW, signed_with, verification_keys
from tests.support.minting import (
    GRANT,
    SETTINGS,
    MintRecorder,
    claims_of,
    credential,
    read,
    ring,
)
from tests.support.rings import HeldRing

KEY = LocalKey.generate("ES256")
NEXT = LocalKey.generate("ES256")


class Mint:
    """A minter whose ring may be replaced between two tokens."""

    def __init__(self, keys: KeyRing | None = None, **settings: Any) -> None:
        self.ring: KeyRing = keys or ring(KEY)
        self.observer = MintRecorder()
        self._minter = Minter(
            replace(SETTINGS, **settings), HeldRing(lambda: self.ring), self.observer
        )

    def ask(
        self,
        source: VerifiedToken | None = None,
        *,
        route: str = "orders",
        principal: str = "",
        now: float = NOW,
        grant: Grant = GRANT,
    ) -> str | Refusal | Pending[str | Refusal]:
        return self._minter.mint(source or credential(), route, grant, principal, now)

    def token(self, source: VerifiedToken | None = None, **asked: Any) -> str:
        found = self.ask(source, **asked)
        assert isinstance(found, str), found
        return found

    def reason(self, source: VerifiedToken | None = None, **asked: Any) -> Reason:
        found = self.ask(source, **asked)
        assert isinstance(found, Refusal), found
        return found.reason


class ElsewhereKey:
    """A key whose private half is not here: it signs when it is awaited, or fails to."""

    def __init__(self, problem: str = "") -> None:
        self.kid, self.algorithm, self.jwk = KEY.kid, KEY.algorithm, KEY.jwk
        self._problem = problem

    async def sign(self, message: bytes) -> bytes:
        await asyncio.sleep(0)
        if self._problem:
            raise SourceFault(self._problem)
        signature = KEY.sign(message)
        assert isinstance(signature, bytes)
        return signature


def elsewhere(problem: str = "") -> KeyRing:
    return KeyRing(Timings(), (RingKey(ElsewhereKey(problem), NOW, NOW),))


async def awaited(found: object) -> str | Refusal:
    assert isinstance(found, Pending), found
    assert not isinstance(found.question, KeyQuestion)
    result = found.resume(await found.question(), NOW)
    assert isinstance(result, str | Refusal)
    return result


def test_a_token_is_signed_with_the_active_key() -> None:
    mint = Mint()

    token = mint.token()

    assert read(token).header.kid == KEY.kid
    assert signed_with(verification_keys(dict(KEY.jwk))[0], token)
    assert mint.observer.results == [("request", "minted")]


def test_a_key_that_is_only_published_signs_nothing() -> None:
    published = KeyRing(Timings(), (RingKey(KEY, NOW, NOW + 600),))
    mint = Mint(published)

    assert mint.reason() is Reason.SIGNING_UNAVAILABLE
    assert mint.observer.results == [("request", "unavailable")]


def test_every_request_has_a_token_of_its_own() -> None:
    mint = Mint()

    assert len({mint.token() for _ in range(100)}) == 100


async def _signed_elsewhere() -> str | Refusal:
    return await awaited(Mint(elsewhere()).ask())


def test_a_key_elsewhere_signs_when_it_is_awaited() -> None:
    token = asyncio.run(_signed_elsewhere())

    assert isinstance(token, str)
    assert signed_with(verification_keys(dict(KEY.jwk))[0], token)


def test_a_key_elsewhere_that_cannot_sign_is_a_refusal() -> None:
    mint = Mint(elsewhere("Vault is sealed"))

    async def refused() -> str | Refusal:
        return await awaited(mint.ask())

    assert asyncio.run(refused()) == Refusal(Reason.SIGNING_UNAVAILABLE, "Vault is sealed")
    assert mint.observer.results == [("request", "unavailable")]


def test_a_token_too_large_for_a_header_is_refused() -> None:
    mint = Mint(max_bytes=700)
    many = frozenset(f"group-{number}" for number in range(100))

    refusal = mint.ask(credential(groups=many))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.IDENTITY_TOO_LARGE
    assert refusal.detail.endswith(
        "bytes, and 700 are allowed; token of the route may limit its groups and roles"
    )
    assert mint.observer.results == [("request", "too_large")]


@pytest.mark.parametrize("ends", [NOW - 5, NOW, NOW + 0.9])
def test_a_credential_at_its_end_gives_no_token_that_is_dead_on_arrival(ends: float) -> None:
    assert Mint().reason(credential({"exp": ends})) is Reason.EXPIRED


def test_a_token_is_not_reused_unless_the_configuration_says_so() -> None:
    mint = Mint()

    assert mint.token() != mint.token()


def test_for_a_few_seconds_a_token_may_serve_again() -> None:
    mint = Mint(reuse=5.0)

    first = mint.token()

    assert mint.token(now=NOW + 4.9) == first
    assert mint.token(now=NOW + 5.0) != first
    assert [result for _, result in mint.observer.results] == ["minted", "reused", "minted"]


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    mint = Mint(reuse=5.0)

    assert mint.token() != mint.token(now=NOW - 1)


@pytest.mark.parametrize(
    "other",
    [
        {"route": "payments"},
        {"principal": "spiffe://shop/bff"},
        {"source": credential(fingerprint="fedcba9876543210")},
        {"source": credential(groups=frozenset({"gold"}))},
        {"source": credential({"acr": "2"})},
        {"source": credential(subject="bob")},
    ],
)
def test_a_token_serves_again_only_for_the_same(other: dict[str, Any]) -> None:
    mint = Mint(reuse=5.0, actors=("spiffe://shop/*",))

    assert mint.token() != mint.token(**other)


def test_a_reused_token_does_not_outlive_its_key() -> None:
    mint = Mint(reuse=5.0)
    first = mint.token()

    mint.ring = ring(NEXT)

    assert read(mint.token()).header.kid == NEXT.kid
    mint.ring = KeyRing(Timings(), ())
    assert mint.reason() is Reason.SIGNING_UNAVAILABLE
    assert first


def test_a_reused_token_does_not_outlive_the_session() -> None:
    mint = Mint(reuse=5.0)
    ending = credential({"exp": NOW + 2})

    first = mint.token(ending)

    assert claims_of(first)["exp"] == int(NOW) + 2
    assert mint.token(ending, now=NOW + 1.9) == first
    assert mint.reason(ending, now=NOW + 2) is Reason.EXPIRED


def test_only_so_many_tokens_are_kept_for_reuse() -> None:
    mint = Mint(reuse=5.0, reused_tokens=2)
    first = mint.token(route="a")
    mint.token(route="b")
    mint.token(route="c")

    assert mint.token(route="a") != first
