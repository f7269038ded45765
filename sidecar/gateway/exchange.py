"""Exchanges a credential for a session; used by login pages.

A login page sends a request inside the cluster with the credential of the user who has logged in,
at the credential's usual source. It passes the cookie in the response on to the browser.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple, Protocol

from sidecar.check.claims import distance
from sidecar.check.extract import cookie_finder, extract
from sidecar.check.refusal import Refusal, deny
from sidecar.gateway.authenticators import Authenticator
from sidecar.gateway.identities import Identities
from sidecar.gateway.places import Places
from sidecar.gateway.session_cookies import SessionCookies
from sidecar.keys.verification_keys import VerificationKeys
from sidecar.model import Deny, Pending, Question, Reason, RequestView, VerifiedToken


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A session token, in the ``Set-Cookie`` value for the client.

    ``token`` is the credential that it was issued for. ``ends_within`` is the credential's
    remaining life in seconds, if the session ends with it; otherwise None.
    """

    cookie: str = field(repr=False)
    token: VerifiedToken
    ends_within: float | None = None


class Exchanged(NamedTuple):
    """The result of a request for a session. ``credential`` is empty without exactly one."""

    credential: str
    outcome: IssuedSession | Deny


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """The settings of the exchange.

    ``identities`` reads the identity of a credential. A session does not outlive its credential,
    unless ``outlives_credential`` is set. A request may have at most ``cookies`` cookies.
    """

    identities: Identities
    outlives_credential: bool
    cookies: int = 1024


class Waiting(Protocol):
    """Gets answers to questions (``shell.waiting``)."""

    @property
    def keys(self) -> VerificationKeys:
        """The public keys that questions are about."""
        ...

    async def answer(self, question: Question) -> object:
        """The answer, or ``LATE``."""
        ...


class SessionExchange:
    """Begins sessions for the credentials of ``places``. Belongs to the event loop."""

    def __init__(
        self,
        settings: ExchangeSettings,
        places: Places[Authenticator],
        cookies: SessionCookies,
        waiting: Waiting,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._places = places
        self._cookies = cookies
        self._finder = cookie_finder(places.sources, settings.cookies)
        self._waiting = waiting
        self._clock = clock

    async def begin(self, request: RequestView) -> Exchanged:
        """A session for the one credential of a request, or why there is none."""
        cookies = self._finder.find(request)
        if isinstance(cookies, Refusal):
            return Exchanged("", deny(cookies))
        credential = extract(request, self._places.sources, cookies)
        if credential is None:
            return Exchanged("", Deny(Reason.NO_CREDENTIAL))
        if isinstance(credential, Refusal):
            return Exchanged("", deny(credential))
        authenticator = self._places.find(credential)
        if isinstance(authenticator, Refusal):
            return Exchanged("", deny(authenticator))
        return Exchanged(authenticator.name, await self._begun(authenticator, credential.text))

    async def _begun(self, authenticator: Authenticator, text: str) -> IssuedSession | Deny:
        digest = sha256(text.encode("latin-1")).digest()
        identified = authenticator.identify(
            text, digest, self._waiting.keys.snapshot, self._clock()
        )
        while isinstance(identified, Pending):
            answer = await self._waiting.answer(identified.question)
            identified = identified.resume(answer, self._clock())
        if not isinstance(identified, VerifiedToken):
            return deny(identified, fingerprint=digest[:8].hex())

        session = self._settings.identities.of(authenticator.name, identified)
        ends, now = None if self._settings.outlives_credential else _end(session), self._clock()
        if ends is not None and ends < now + 1:
            # Accepted within the leeway, but a browser would drop such a cookie at once.
            detail = "the credential ends before a session of it could be used"
            held = distance("exp", ends, now)
            return Deny(Reason.EXPIRED, None, detail, session.fingerprint, session, held=held)
        cookie = self._cookies.begun(session, now, ends)
        if isinstance(cookie, Refusal):
            return deny(cookie, fingerprint=session.fingerprint, token=session)
        return IssuedSession(cookie, session, None if ends is None else ends - now)


def _end(credential: VerifiedToken) -> float | None:
    ends = credential.claims.get("exp")
    return ends if isinstance(ends, int | float) else None
