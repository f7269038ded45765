"""The cookies with session tokens: for a new session, a renewed one and an ended one."""

import time

from sidecar.check.refusal import Refusal
from sidecar.errors import SourceFault
from sidecar.mint.minter import MintObserver
from sidecar.model import Reason, VerifiedToken
from sidecar.session.cookies import clear_cookie, set_cookie
from sidecar.session.settings import SessionTokenSettings
from sidecar.session.tokens import SessionToken, SessionTokens

# The kind of a session token in metrics.
SESSION = "session"


class SessionCookies:
    """The ``Set-Cookie`` headers of one configuration's sessions."""

    def __init__(
        self, settings: SessionTokenSettings, tokens: SessionTokens, observer: MintObserver
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._observer = observer

    def begun(self, identity: VerifiedToken, now: float, ends: float | None) -> str | Refusal:
        """The cookie of a new session, or why there is none.

        Args:
            identity: the credential that it is issued for.
            now: Unix seconds.
            ends: when the session ends at the latest, in Unix seconds.
        """
        started = time.perf_counter()
        try:
            token = self._tokens.begin(identity, now, ends=ends)
        except SourceFault as fault:
            self._observe("unavailable", started)
            return Refusal(Reason.SIGNING_UNAVAILABLE, str(fault))
        return self._cookie(token, now, started)

    def renewed(self, session: VerifiedToken, now: float) -> str:
        """The cookie that renews a session, if it is due; otherwise empty."""
        started = time.perf_counter()
        token = self._tokens.renewed(session, now)
        if token is None:
            return ""
        cookie = self._cookie(token, now, started)
        return cookie if isinstance(cookie, str) else ""

    def cleared(self) -> str:
        """The cookie that makes a browser delete its session."""
        return clear_cookie(self._settings)

    def _cookie(self, token: SessionToken, now: float, started: float) -> str | Refusal:
        cookie = set_cookie(self._settings, token, now)
        self._observe("minted" if isinstance(cookie, str) else "too_large", started)
        return cookie

    def _observe(self, result: str, started: float) -> None:
        self._observer.minted(SESSION, result, time.perf_counter() - started)
