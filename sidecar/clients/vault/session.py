"""The life of a Vault client token, which all calls to one server share.

States, and what moves a token from one to the next::

    NONE    ──a login succeeds─────────────────────▶ VALID
            ──a login fails────────────────────────▶ NONE, and no login for 2 s
    VALID   ──two thirds of its life are over──────▶ DUE
            ──the server refuses it (``discard``)──▶ NONE
    DUE     ──a renewal or a login succeeds────────▶ VALID
            ──its life is over─────────────────────▶ NONE

No task runs in the background: a call that asks for the token starts what is due, once for all
callers. An attempt is not cancelled with the call that started it: a login that is slower than the
time-out of each call would otherwise never succeed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from sidecar.errors import SourceFault

_log = logging.getLogger(__name__)

RENEWED_AFTER: Final = 2 / 3  # of a token's life
PAUSE: Final = 2.0
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class ClientToken:
    """A client token. ``lifetime`` is in seconds, infinite for one that does not expire."""

    token: str = field(repr=False)
    lifetime: float
    renewable: bool


@dataclass(frozen=True, slots=True)
class _Current:
    grant: ClientToken
    since: float

    @property
    def renew_at(self) -> float:
        return self.since + self.grant.lifetime * RENEWED_AFTER

    @property
    def expires_at(self) -> float:
        return self.since + self.grant.lifetime


class TokenSession:
    """Holds the one token of a client.

    ``log_in`` and ``renew`` ask the server and raise SourceFault when it refuses or cannot be
    reached; ``clock`` gives seconds.
    """

    def __init__(
        self,
        log_in: Callable[[], Awaitable[ClientToken]],
        renew: Callable[[str], Awaitable[ClientToken]],
        clock: Callable[[], float],
    ) -> None:
        self._log_in = log_in
        self._renew = renew
        self._clock = clock
        self._current: _Current | None = None
        self._attempt: asyncio.Task[_Current | str] | None = None
        self._paused_until = clock()

    async def token(self) -> str:
        """The token to call with. From two thirds of its life on, it is renewed in the background.

        Raises:
            SourceFault: there is none, and the login failed, now or less than 2 seconds ago.
        """
        current = self._current
        if current is None or self._clock() >= current.expires_at:
            obtained = await asyncio.shield(self._shared_attempt())
            if isinstance(obtained, str):
                raise SourceFault(obtained)
            return obtained.grant.token
        if self._clock() >= current.renew_at:
            self._shared_attempt()
        return current.grant.token

    def discard(self, token: str) -> bool:
        """Forget a token that the server refused; True to try again with another.

        A token less than 2 seconds old is assumed to be valid, and the call to be denied by policy.
        A new login for each denied call would overload the server.
        """
        current = self._current
        if current is None or current.grant.token != token:
            return True
        if self._clock() < current.since + PAUSE:
            return False
        self._current = None
        return True

    def close(self) -> None:
        """Cancel an attempt that is under way."""
        if self._attempt is not None:
            self._attempt.cancel()

    def _shared_attempt(self) -> "asyncio.Task[_Current | str]":
        """The attempt that is under way, the one that failed a moment ago, or a new one."""
        if self._attempt is None or (self._attempt.done() and self._clock() >= self._paused_until):
            self._attempt = asyncio.create_task(self._obtain(), name="login to Vault")
        return self._attempt

    async def _obtain(self) -> _Current | str:
        """Renew or replace the token; the error text, if neither succeeds."""
        # The lifetime is counted from the request, because the answer may be slow.
        began = self._clock()
        try:
            async with asyncio.timeout(_TIMEOUT):
                grant = await self._renewed(began) or await self._log_in()
        except (SourceFault, TimeoutError) as fault:
            self._paused_until = self._clock() + PAUSE
            problem = str(fault) or f"no login to Vault within {_TIMEOUT:g} s"
            _log.warning("no new client token: %s", problem)
            return problem
        self._current = _Current(grant, began)
        return self._current

    async def _renewed(self, now: float) -> ClientToken | None:
        """The same token with a longer life; None where it cannot be renewed."""
        current = self._current
        if current is None or not current.grant.renewable or now >= current.expires_at:
            return None
        try:
            grant = await self._renew(current.grant.token)
        except SourceFault:
            # Revoked, or not allowed to renew itself. If the server is down, the login fails too.
            return None
        # Near a token's maximum life a renewal grants only the rest of it, in whole seconds.
        return grant if grant.lifetime > current.expires_at - now + 1 else None
