"""Tokens that may serve once more: for the same credential, route and actor, under the same key.

A credential is resolved before this is asked, so one that has ended or was revoked never gets here;
one whose claims have changed is not the same.
"""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from sidecar.model import VerifiedToken


class Purpose(NamedTuple):
    """What a token was minted for. ``kid`` is the signing key's."""

    fingerprint: str
    route: str
    actor: str
    kid: str


class _Reusable(NamedTuple):
    credential: VerifiedToken
    text: str
    since: float
    until: float


class ReusableTokens:
    """The tokens minted last, bounded in number. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tokens: OrderedDict[Purpose, _Reusable] = OrderedDict()
        self._lock = Lock()

    def get(self, purpose: Purpose, credential: VerifiedToken, now: float) -> str | None:
        """The token minted for this, while it may be used again (``now`` in Unix seconds)."""
        with self._lock:
            found = self._tokens.get(purpose)
        if found is None or found.credential != credential:
            return None
        # A clock that was set back prolongs nothing.
        return found.text if found.since <= now < found.until else None

    def add(
        self, purpose: Purpose, credential: VerifiedToken, text: str, since: float, until: float
    ) -> None:
        """Let a token serve again in this time (Unix seconds); the oldest makes room for it."""
        with self._lock:
            self._tokens[purpose] = _Reusable(credential, text, since, until)
            self._tokens.move_to_end(purpose)
            if len(self._tokens) > self._limit:
                self._tokens.popitem(last=False)
