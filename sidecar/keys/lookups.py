"""Checks that wait for a key, and the keys that were absent from a fetch.

A token may be refused for its key only when a fetch that *began after the token was seen* did not
bring the key, so that a rotation causes no wrong 401. All waiting checks share one fetch.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from sidecar.model import KeyQuestion
from sidecar.snapshots.keys import KeySet

REMEMBERED_ABSENT: Final = 10_000


class Outcome(Enum):
    """The result of looking a key up. ``FOUND``: there are keys to verify the token with."""

    FOUND = "found"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"


Done = Callable[[Outcome], None]


@dataclass(eq=False, slots=True)
class Waiter:
    """One check that waits. ``since`` is when it began to wait, on the caller's clock."""

    question: KeyQuestion
    since: float
    done: Done

    def is_answered_by(self, keys: KeySet) -> bool:
        """Whether the key may be among these."""
        tried = self.question.tried
        return keys.knows(self.question.kid) if tried is None else keys.keys != tried.keys

    @property
    def absent(self) -> bytes | None:
        """What is remembered if a fetch does not bring the key; None for nothing.

        It is a hash, of the kid or of the token, because clients choose the length of both.
        """
        kid, tried = self.question.kid, self.question.tried
        if tried is not None:
            return b"token" + tried.digest[:16]
        if kid is not None:
            return b"kid" + sha256(kid.encode(errors="surrogatepass")).digest()[:16]
        return None


class AbsentKeys:
    """What was absent from a fetch (``Waiter.absent``)."""

    def __init__(self, limit: int = REMEMBERED_ABSENT) -> None:
        self._limit = limit
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes | None) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        """Add one; above the limit the oldest is removed."""
        self._digests[digest] = None
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)

    def clear(self) -> None:
        """Remove all, because the keys have changed."""
        self._digests.clear()
