"""Caches bounded in number, least recently used first out; safe to use from several threads."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """At most ``limit`` entries; the one not used for longest makes room for another."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """What is remembered under a key."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def add(self, key: K, value: V) -> None:
        """Remember a value."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)

    def forget(self, key: K) -> None:
        """Remember nothing under a key."""
        with self._lock:
            self._entries.pop(key, None)


class TtlCache(Generic[K, V]):
    """An ``LruCache`` whose entries are each valid for a time of their own, in Unix seconds."""

    def __init__(self, limit: int) -> None:
        self._entries: LruCache[K, tuple[V, float, float]] = LruCache(limit)

    def get(self, key: K, now: float) -> V | None:
        """What counts under a key at ``now``."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, since, until = found
        # Before its time is only a clock that was set back, by nobody knows how much.
        return value if since <= now < until else None

    def add(self, key: K, value: V, since: float, until: float) -> None:
        """Let a value count from ``since`` on, and no longer at ``until``."""
        self._entries.add(key, (value, since, until))
