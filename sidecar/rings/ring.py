"""A key ring: the keys that sign or seal one kind of token, as one immutable value.

Like the snapshots that checks read, it is replaced whole: whoever mints a token or answers with
the JWKS sees one state of it.
"""

import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import Life, State, Timings


class Key(Protocol):
    """One key of a ring."""

    @property
    def kid(self) -> str:
        """Its name, which stands in the header of what it made."""
        ...

    @property
    def algorithm(self) -> str:
        """The algorithm it is used with, and no other."""
        ...


class SigningKey(Key, Protocol):
    """One key that can sign, wherever its private half is. Its kid is its RFC 7638 thumbprint."""

    @property
    def jwk(self) -> Mapping[str, str]:
        """The public half (RFC 7517), with ``kid``, ``alg`` and ``use``."""
        ...

    def sign(self, message: bytes) -> bytes | Awaitable[bytes]:
        """The JWS signature (RFC 7518 §3) of a signing input.

        At once, on any thread, where the private half is in this process. Where it is elsewhere,
        something to be awaited on the event loop of the ring.

        Raises:
            SourceFault: awaited, when whoever holds the private half cannot sign now.
        """
        ...


K_co = TypeVar("K_co", bound=Key, covariant=True)


@dataclass(frozen=True, slots=True)
class RingKey(Generic[K_co]):
    """A key and its two dates, in Unix seconds: first published, first used."""

    key: K_co
    published: float
    activates: float


@dataclass(frozen=True, slots=True)
class KeyRing(Generic[K_co]):
    """The keys of one kind of token, in the order in which they become active.

    Nothing is signed or sealed at or after ``signs_until`` (Unix seconds).
    """

    timings: Timings
    keys: tuple[RingKey[K_co], ...]
    signs_until: float = math.inf

    def signer(self, now: float) -> K_co:
        """The active key at ``now`` (Unix seconds): the one that signs or seals.

        Raises:
            SourceFault: no key is active: none has been published for long enough, or what was
                published of them has not been renewed.
        """
        if now >= self.signs_until:
            raise SourceFault("the signing keys are about to be forgotten by those who verify")
        for key in reversed(self.keys):
            if key.activates <= now:
                return key.key
        raise SourceFault("no key has been published for long enough to be used")

    def find(self, kid: str, now: float) -> K_co | None:
        """The key of this name, unless it is gone at ``now`` (Unix seconds)."""
        for index, key in enumerate(self.keys):
            if key.key.kid == kid and self._life(index).state(now) is not State.GONE:
                return key.key
        return None

    def lives(self) -> tuple[Life, ...]:
        """The dates of each key, in the order of ``keys``."""
        return tuple(map(self._life, range(len(self.keys))))

    def _life(self, index: int) -> Life:
        key, successors = self.keys[index], self.keys[index + 1 :]
        ends = successors[0].activates if successors else None
        return Life(
            published=key.published,
            active=key.activates,
            retired=ends,
            gone=None if ends is None else ends + self.timings.kept,
        )

    def states(self, now: float) -> tuple[State, ...]:
        """Where each key is in its life at ``now`` (Unix seconds), in the order of ``keys``."""
        return tuple(life.state(now) for life in self.lives())

    def jwks(self: "KeyRing[SigningKey]", now: float) -> dict[str, list[dict[str, str]]]:
        """The public document (RFC 7517 §5) at ``now`` (Unix seconds): every key but those gone.

        Of signing keys alone: a sealing key has no ``jwk``.
        """
        return {
            "keys": [
                dict(key.key.jwk)
                for key, state in zip(self.keys, self.states(now), strict=True)
                if state is not State.GONE
            ]
        }

    def max_age(self) -> int:
        """For how many seconds the document may be reused (RFC 9111 §5.2.2.1).

        As long as verifiers keep it themselves: keys are published for twice as long before they
        sign (``Timings.ahead``). A ring without keys is asked again at once.
        """
        return int(self.timings.verifier_refresh) if self.keys else 0
