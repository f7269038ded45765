"""A key ring: the keys that sign or seal one kind of token, as one immutable value.

Like the snapshots that checks read, it is replaced whole: a thread that mints a token or answers
with the JWKS sees one consistent state. The functions at the end create a ring, rotate its keys and
revoke a key. They are pure: each takes a ring and returns the next one, which is equal if nothing
is due.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from sidecar.errors import SourceFault
from sidecar.rings.lifecycle import KeyDates, State, Timings
from sidecar.rings.sealing_key import SealingKey


class SigningKey(Protocol):
    """A signing key, in this process or in Vault. Its kid is its RFC 7638 thumbprint."""

    @property
    def kid(self) -> str:
        """Its key id, which is in the header of the tokens it signed."""
        ...

    @property
    def algorithm(self) -> str:
        """The one JWS algorithm it is used with."""
        ...

    @property
    def jwk(self) -> Mapping[str, str]:
        """The public key (RFC 7517), with ``kid``, ``alg`` and ``use``."""
        ...

    def sign(self, message: bytes) -> bytes | Awaitable[bytes]:
        """The JWS signature (RFC 7518 §3) of a signing input.

        Bytes, on any thread, if the private key is in this process. Otherwise an awaitable for the
        event loop of the ring.

        Raises:
            SourceFault: when awaited, if Vault cannot sign now.
        """
        ...


Key = SigningKey | SealingKey


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key and its two dates, in Unix seconds: when it is published, when it becomes active."""

    key: Key
    published: float
    activates: float


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one kind of token, in the order in which they become active.

    All of them sign or all of them seal. No key is used at or after ``signs_until`` (Unix seconds).
    """

    timings: Timings
    keys: tuple[RingKey, ...]
    signs_until: float = math.inf

    def signer(self, now: float) -> SigningKey:
        """The key that signs at ``now`` (Unix seconds).

        Raises:
            SourceFault: no key is active: none has been published for long enough, or their
                published record has not been renewed.
            TypeError: the keys of this ring seal.
        """
        key = self._active(now)
        if isinstance(key, SealingKey):
            raise TypeError("this ring seals: it has no key that signs")
        return key

    def sealer(self, now: float) -> SealingKey:
        """The key that seals at ``now`` (Unix seconds).

        Raises:
            SourceFault: as ``signer``.
            TypeError: the keys of this ring sign.
        """
        key = self._active(now)
        if not isinstance(key, SealingKey):
            raise TypeError("this ring signs: it has no key that seals")
        return key

    def _active(self, now: float) -> Key:
        if now >= self.signs_until:
            raise SourceFault("the published record of the signing keys is about to expire")
        for key in reversed(self.keys):
            if key.activates <= now:
                return key.key
        raise SourceFault("no key has been published for long enough to be used")

    def find(self, kid: str, now: float) -> Key | None:
        """The key with this kid, unless it is gone at ``now`` (Unix seconds)."""
        newest = len(self.keys) - 1
        for index, key in enumerate(self.keys):
            if key.key.kid == kid:
                # The newest key has no successor, so it is never gone.
                kept = index == newest or self._dates(index).state(now) is not State.GONE
                return key.key if kept else None
        return None

    def dates(self) -> tuple[KeyDates, ...]:
        """The dates of each key, in the order of ``keys``."""
        return tuple(map(self._dates, range(len(self.keys))))

    def _dates(self, index: int) -> KeyDates:
        key, successors = self.keys[index], self.keys[index + 1 :]
        ends = successors[0].activates if successors else None
        return KeyDates(
            published=key.published,
            active=key.activates,
            retired=ends,
            gone=None if ends is None else ends + self.timings.kept,
        )

    def states(self, now: float) -> tuple[State, ...]:
        """The state of each key at ``now`` (Unix seconds), in the order of ``keys``."""
        return tuple(dates.state(now) for dates in self.dates())

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The public document (RFC 7517 §5) at ``now`` (Unix seconds): every key but those gone.

        Raises:
            TypeError: the keys of this ring seal. They are secret and published nowhere.
        """
        published: list[dict[str, str]] = []
        for ring_key, state in zip(self.keys, self.states(now), strict=True):
            if isinstance(ring_key.key, SealingKey):
                raise TypeError("this ring seals: its keys are secret and have no jwk")
            if state is not State.GONE:
                published.append(dict(ring_key.key.jwk))
        return {"keys": published}

    def max_age(self) -> int:
        """For how many seconds the document may be reused (RFC 9111 §5.2.2.1).

        The verifiers' refresh interval: keys are published for twice as long before they sign
        (``Timings.ahead``). It is 0 for a ring without keys.
        """
        return int(self.timings.verifier_refresh) if self.keys else 0


def begin(key: Key, timings: Timings, now: float) -> KeyRing:
    """A new ring. Its first key is active at once, because there are no older ones."""
    # Active earlier by the leeway, for a replica whose clock is behind.
    return KeyRing(timings, (RingKey(key, now, now - timings.leeway),))


def rotated(ring: KeyRing, make: Callable[[], Key], now: float, *, early: bool = False) -> KeyRing:
    """Remove the keys that are gone and, when it is due, publish the next one.

    Args:
        ring: a ring with at least one key.
        make: makes the next key.
        now: Unix seconds.
        early: publish the next key though it is not due yet; not if one is published already.
    """
    keys = tuple(
        key
        for key, state in zip(ring.keys, ring.states(now), strict=True)
        if state is not State.GONE
    )
    idle = ring.keys[-1].activates <= now
    if (early and idle) or now >= next_publication(ring):
        keys = (*keys, RingKey(make(), now, now + ring.timings.ahead))
    return replace(ring, keys=keys)


def next_publication(ring: KeyRing) -> float:
    """When the next key must be published to replace the newest in time, in Unix seconds."""
    return ring.keys[-1].activates + ring.timings.period - ring.timings.ahead


def next_step(ring: KeyRing) -> float:
    """When ``rotated`` has something to do next, in Unix seconds."""
    gone = [dates.gone for dates in ring.dates() if dates.gone is not None]
    return min([*gone, next_publication(ring)])


def revoked(ring: KeyRing, kid: str, make: Callable[[], Key], now: float) -> KeyRing:
    """Remove a key at once, in an emergency: its tokens are refused from then on.

    If it was the active one, the published key becomes active at once, or else a new one. Verifiers
    that do not have it yet fetch it when they see its kid. Retired keys stay retired.
    """
    states = ring.states(now)
    kept = [
        (key, state)
        for key, state in zip(ring.keys, states, strict=True)
        if key.key.kid != kid and state is not State.GONE
    ]
    if any(state is State.ACTIVE for _, state in kept):
        return replace(ring, keys=tuple(key for key, _ in kept))
    older = tuple(key for key, state in kept if state is State.RETIRED)
    waiting = [key for key, state in kept if state is State.PUBLISHED]
    first, *later = waiting or [RingKey(make(), now, now)]
    # Active earlier by the leeway, for a replica whose clock is behind; but not before the older
    # keys were retired, which would remove them too early.
    ended = [dates.retired for dates in ring.dates() if dates.retired is not None]
    at_once = max([now - ring.timings.leeway, *(date for date in ended if date <= now)])
    successor = replace(first, activates=at_once)
    return replace(ring, keys=(*older, successor, *later))
