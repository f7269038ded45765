"""Checks that wait for a key, and the kids that were absent from a fetch.

A token may be refused for its key only when a fetch that *began after the token was seen* did not
bring the key, so that a rotation causes no wrong 401. All waiting checks share one fetch.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

REMEMBERED_ABSENT: Final = 10_000


class Outcome(Enum):
    """The result of looking a key up. ``FOUND``: there are keys to verify the token with."""

    FOUND = "found"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"


Done = Callable[[Outcome], None]


@dataclass(eq=False, slots=True)
class Waiter:
    """One check that waits. ``since`` is when it began to wait, on the caller's clock.

    ``kid`` is None for a token without one, which any key may have signed.
    """

    kid: str | None
    since: float
    done: Done


class AbsentKids:
    """Kids that were absent from a fetch. Stored as hashes, because clients choose their length."""

    def __init__(self, limit: int = REMEMBERED_ABSENT) -> None:
        self._limit = limit
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, kid: str) -> bool:
        return _digest(kid) in self._digests

    def add(self, kid: str) -> None:
        """Add a kid; above the limit the oldest is removed."""
        self._digests[_digest(kid)] = None
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)

    def clear(self) -> None:
        """Remove all, because the keys have changed."""
        self._digests.clear()


def _digest(kid: str) -> bytes:
    return sha256(kid.encode(errors="surrogatepass")).digest()[:16]
