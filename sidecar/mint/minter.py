"""Mints request tokens with the keys of a ring.

A key in this process signs at once; a signature by Vault is ``Pending``.
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

# The kind of a request token in metrics.
REQUEST = "request"

# A token, or why there is none.
Minted = str | Refusal


_LATE: Final = Refusal(
    Reason.SIGNING_UNAVAILABLE, "there was no answer in the time Envoy gives a check"
)


class SigningRing(Protocol):
    """Holds signing keys. They may be read from any thread, and are replaced whole."""

    @property
    def keys(self) -> KeyRing:
        """The keys at this moment."""
        ...


class MintObserver(Protocol):
    """Told about every attempt to mint a token."""

    def minted(self, kind: str, result: str, duration: float) -> None:
        """A token was ``minted`` or ``reused``, or is ``unavailable`` or ``too_large``.

        ``duration`` is in seconds, from the start of the attempt to its result.
        """


class _Purpose(NamedTuple):
    """What a token is minted for. It is reused only for an equal purpose."""

    fingerprint: str
    route: str
    actor: str
    kid: str


class _Reusable(NamedTuple):
    """A token, and the credential at that time; the token is reused only for an equal one."""

    credential: VerifiedToken
    text: str


class _Unsigned(NamedTuple):
    """A token without its signature. It may be reused from ``since`` until ``until``."""

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
        # A credential is verified before each use, so an expired or revoked one reuses no token.
        self._reusable: TtlCache[_Purpose, _Reusable] = TtlCache(settings.reused_tokens)

    def mint(
        self, credential: VerifiedToken, route: str, grant: Grant, principal: str, now: float
    ) -> Minted | Pending[Minted]:
        """A token for a request, or why there is none; ``Pending`` if Vault signs it.

        Args:
            credential: the verified credential of the request.
            route: the name of the request's route.
            grant: the audiences of the route's tokens, and what they may carry.
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
            self._observe("reused", started)
            return before.text

        claims, ends = request_tokens.claims(self._settings, grant, credential, actor, now)
        if ends <= now:
            # Accepted within the leeway, but a token that expires with it would be expired.
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
            self._observe("too_large", unsigned.started)
            detail = (
                f"a token of {len(text)} bytes, and {limit} are allowed; token of the route may "
                "limit its groups and roles"
            )
            return Refusal(Reason.IDENTITY_TOO_LARGE, detail)
        if self._settings.reuse:
            _, credential, purpose, _, since, until = unsigned
            self._reusable.add(purpose, _Reusable(credential, text), since, until)
        self._observe("minted", unsigned.started)
        return text

    def _unavailable(self, started: float, fault: SourceFault) -> Refusal:
        self._observe("unavailable", started)
        return Refusal(Reason.SIGNING_UNAVAILABLE, str(fault))

    def _observe(self, result: str, started: float) -> None:
        self._observer.minted(REQUEST, result, time.perf_counter() - started)
