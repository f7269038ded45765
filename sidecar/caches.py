"""Caches with a maximum number of entries, evicted least recently used first; thread-safe."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """At most ``limit`` entries; the least recently used one is evicted for a new one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of a key; None when there is none."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def add(self, key: K, value: V) -> None:
        """Set the value of a key."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)

    def forget(self, key: K) -> None:
        """Remove a key."""
        with self._lock:
            self._entries.pop(key, None)


class TtlCache(Generic[K, V]):
    """An ``LruCache`` whose entries are each valid for a time of their own, in Unix seconds."""

    def __init__(self, limit: int) -> None:
        self._entries: LruCache[K, tuple[V, float, float]] = LruCache(limit)

    def get(self, key: K, now: float) -> V | None:
        """The value of a key that is valid at ``now``; None when there is none."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, since, until = found
        # ``now`` is before ``since`` only when the clock was set back: the entry's age is unknown.
        return value if since <= now < until else None

    def add(self, key: K, value: V, since: float, until: float) -> None:
        """Set the value of a key, valid from ``since`` on and before ``until``."""
        self._entries.add(key, (value, since, until))
