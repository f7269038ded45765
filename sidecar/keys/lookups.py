"""Checks that wait for a key, and the kids that a fetch came back without.

A token may be refused for its key only when a fetch that *began after the token was seen* came
back without it (design: no wrong 401 during a rotation). All waiting checks share one fetch.
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
    """One check that waits. ``since`` is when it began to, on the caller's clock.

    ``kid`` is None for a token without one, which any key may have signed.
    """

    kid: str | None
    since: float
    done: Done


class AbsentKids:
    """Kids that a fetch came back without, as hashes: clients choose kids, of any length."""

    def __init__(self, limit: int = REMEMBERED_ABSENT) -> None:
        self._limit = limit
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, kid: str) -> bool:
        return _digest(kid) in self._digests

    def add(self, kid: str) -> None:
        """Remember a kid; beyond the limit the oldest is forgotten."""
        self._digests[_digest(kid)] = None
        if len(self._digests) > self._limit:
            self._digests.popitem(last=False)

    def clear(self) -> None:
        """Forget all: the keys have changed."""
        self._digests.clear()


def _digest(kid: str) -> bytes:
    return sha256(kid.encode(errors="surrogatepass")).digest()[:16]
