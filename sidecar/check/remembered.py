"""What is remembered about tokens already seen: that they parse and that their signature holds.

Nothing else: dates, audience, subject, rules and whether the key is still there are looked at on
every check. A token is held under its SHA-256 with its payload as bytes, which is several times
smaller than the parsed claims and parses again in microseconds.
"""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from sidecar.check.trust import TrustEntry
from sidecar.snapshots.keys import VerificationKey


class Remembered(NamedTuple):
    """A signature that held: under which key, for which trust entry, over which payload."""

    trust: TrustEntry
    key: VerificationKey
    payload: bytes


class RememberedTokens:
    """The most recently used tokens, bounded in number. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tokens: OrderedDict[bytes, Remembered] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._tokens)

    def get(self, digest: bytes) -> Remembered | None:
        """What is remembered under a token's SHA-256."""
        with self._lock:
            found = self._tokens.get(digest)
            if found is not None:
                self._tokens.move_to_end(digest)
            return found

    def add(self, digest: bytes, token: Remembered) -> None:
        """Remember a token; the one not used for longest makes room for it."""
        with self._lock:
            self._tokens[digest] = token
            if len(self._tokens) > self._limit:
                self._tokens.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Forget a token, whose key is gone."""
        with self._lock:
            self._tokens.pop(digest, None)
