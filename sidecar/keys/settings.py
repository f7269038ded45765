"""How the keys of one trust entry are found and kept fresh."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileKeys:
    """Keys in a file, JWKS or PEM."""

    path: Path


@dataclass(frozen=True, slots=True)
class KeySettings:
    """One trust entry's keys; all times in seconds.

    ``refresh`` is the time between two regular fetches; a source that wants to be asked more often
    is, down to ``minimum_refresh``. ``cooldown`` is the least time between two fetches for unknown
    kids, ``max_stale`` how long the last good keys serve when no fetch succeeds, ``timeout`` bounds
    one fetch. At most ``maximum_waiters`` checks wait at once for an unknown kid; the next one is
    told to come back later.
    """

    trust: str
    source: FileKeys
    refresh: float = 5.0
    minimum_refresh: float = 5.0
    cooldown: float = 1.0
    max_stale: float = 86400.0
    timeout: float = 10.0
    maximum_waiters: int = 64
