"""How a ring changes: it begins, its keys are replaced in time, a key is revoked.

Pure: each function takes a ring and gives the ring that follows, which is the same one when there
is nothing to do. ``make`` is called for a new key, at most once.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from sidecar.rings.lifecycle import State, Timings
from sidecar.rings.ring import Key, KeyRing, RingKey

K = TypeVar("K", bound=Key)


def begin(key: K, timings: Timings, now: float) -> KeyRing[K]:
    """A new ring. Its first key is active at once: nobody holds older ones."""
    ring: KeyRing[K] = KeyRing(timings, ())
    # Already for whoever's clock is behind.
    return replace(ring, keys=(RingKey(key, now, now - timings.leeway),))


def rotated(
    ring: KeyRing[K], make: Callable[[], K], now: float, *, early: bool = False
) -> KeyRing[K]:
    """Take out the keys that are gone and, when it is time, publish the next one.

    Args:
        ring: a ring with at least one key.
        make: makes the next key.
        now: Unix seconds.
        early: publish the next key even if the active one has time left. One that is published
            already is not followed by another.
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


def next_publication(ring: KeyRing[K]) -> float:
    """When the next key is to be published, in Unix seconds: in time to replace the newest."""
    return ring.keys[-1].activates + ring.timings.period - ring.timings.ahead


def next_step(ring: KeyRing[K]) -> float:
    """When ``rotated`` has something to do next, in Unix seconds."""
    gone = [life.gone for life in ring.lives() if life.gone is not None]
    return min([*gone, next_publication(ring)])


def revoked(ring: KeyRing[K], kid: str, make: Callable[[], K], now: float) -> KeyRing[K]:
    """Take a key out at once, in an emergency: its tokens are refused from then on.

    If it was the active one, the key published next takes over without waiting, or a new one:
    verifiers that do not have it yet fetch again when they meet it. Keys that were retired stay so.
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
    # Already for whoever's clock is behind, but not before the retired ones were: that would take
    # them out too early.
    ended = [life.retired for life in ring.lives() if life.retired is not None]
    at_once = max([now - ring.timings.leeway, *(date for date in ended if date <= now)])
    successor = replace(first, activates=at_once)
    return replace(ring, keys=(*older, successor, *later))
