"""Mints request tokens with the keys of a ring.

A key in this process signs at once; a signature from elsewhere has to be waited for.
"""

import time
from collections.abc import Awaitable
from typing import Final, NamedTuple, Protocol

from sidecar.caches import TtlCache
from sidecar.check.claims import distance
from sidecar.check.refusal import Refusal
from sidecar.errors import SourceFault
from sidecar.jose.compact import compact, signing_input
from sidecar.mint import request_tokens
from sidecar.mint.settings import TYPE, Grant, RequestTokenSettings
from sidecar.model import Pending, Reason, VerifiedToken, ask
from sidecar.rings.ring import KeyRing

# What a request token is called where tokens are counted.
REQUEST = "request"

# A token, or why there is none.
Minted = str | Refusal


_LATE: Final = Refusal(
    Reason.SIGNING_UNAVAILABLE, "there was no answer in the time Envoy gives a check"
)


class SigningRing(Protocol):
    """Has the keys that sign. They may be read from any thread, and are replaced whole."""

    @property
    def keys(self) -> KeyRing:
        """The keys at this moment."""
        ...


class MintObserver(Protocol):
    """Told about every token that a key is there for, or should be."""

    def minted(self, kind: str, result: str, duration: float) -> None:
        """A token was ``minted`` or ``reused``, or is ``unavailable`` or ``too_large``.

        ``duration`` is in seconds, from the question to the answer.
        """


class _Purpose(NamedTuple):
    """What a token is minted for. Only for the same may it serve again."""

    fingerprint: str
    route: str
    actor: str
    kid: str


class _Reusable(NamedTuple):
    """A token, and the credential as it was then: one whose claims have changed is another."""

    credential: VerifiedToken
    text: str


class _Unsigned(NamedTuple):
    """A token that only lacks its signature; it may serve again ``since`` then ``until`` then."""

    started: float
    credential: VerifiedToken
    purpose: _Purpose
    message: bytes
    since: float
    until: float


class Minter:
    """Mints the tokens of one configuration with the keys of ``ring``."""

    def __init__(
        self,
        settings: RequestTokenSettings,
        ring: SigningRing,
        observer: MintObserver,
    ) -> None:
        self._settings = settings
        self._ring = ring
        self._observer = observer
        # A credential is identified first: one that has ended or was revoked never gets this far.
        self._reusable: TtlCache[_Purpose, _Reusable] = TtlCache(settings.reused_tokens)

    def mint(
        self, credential: VerifiedToken, route: str, grant: Grant, principal: str, now: float
    ) -> Minted | Pending[Minted]:
        """A token for a request, or why there is none; ``Pending`` where the key is elsewhere.

        Args:
            credential: who asks; valid here and now.
            route: the name of the request's route.
            grant: what tokens of the route are good for.
            principal: the caller's mTLS identity, empty without one.
            now: Unix seconds.
        """
        started = time.perf_counter()
        try:
            key = self._ring.keys.signer(now)
        except SourceFault as fault:
            return self._unavailable(started, fault)
        actor = request_tokens.actor(self._settings, credential, principal)
        purpose = _Purpose(credential.fingerprint, route, actor, key.kid)
        before = self._reusable.get(purpose, now) if self._settings.reuse else None
        if before is not None and before.credential == credential:
            self._tell("reused", started)
            return before.text

        claims, ends = request_tokens.claims(self._settings, grant, credential, actor, now)
        if ends <= now:
            # Within the leeway its issuer is given; a token made of it would be dead on arrival.
            detail = "the credential ends before a token of it could be used"
            return Refusal(Reason.EXPIRED, detail, held=distance("exp", ends, now))
        message = signing_input(claims, key.kid, key.algorithm, TYPE)
        until = min(now + self._settings.reuse, ends)
        unsigned = _Unsigned(started, credential, purpose, message, now, until)
        signature = key.sign(message)
        if isinstance(signature, bytes):
            return self._signed(unsigned, signature)
        return ask(lambda: self._when_signed(unsigned, signature), late=_LATE)

    async def _when_signed(self, unsigned: _Unsigned, signature: Awaitable[bytes]) -> Minted:
        try:
            return self._signed(unsigned, await signature)
        except SourceFault as fault:
            return self._unavailable(unsigned.started, fault)

    def _signed(self, unsigned: _Unsigned, signature: bytes) -> Minted:
        text = compact(unsigned.message, signature)
        limit = self._settings.max_bytes
        if len(text) > limit:
            self._tell("too_large", unsigned.started)
            detail = f"a token of {len(text)} bytes, and {limit} are allowed"
            return Refusal(Reason.IDENTITY_TOO_LARGE, detail)
        if self._settings.reuse:
            _, credential, purpose, _, since, until = unsigned
            self._reusable.add(purpose, _Reusable(credential, text), since, until)
        self._tell("minted", unsigned.started)
        return text

    def _unavailable(self, started: float, fault: SourceFault) -> Refusal:
        self._tell("unavailable", started)
        return Refusal(Reason.SIGNING_UNAVAILABLE, str(fault))

    def _tell(self, result: str, started: float) -> None:
        self._observer.minted(REQUEST, result, time.perf_counter() - started)
