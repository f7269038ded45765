"""The reports of a refresher: events for an observer, and its status."""

from dataclasses import dataclass
from typing import Protocol


class RefreshObserver(Protocol):
    """Told the events of a trust entry's keys."""

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """A fetch brought this many keys, at ``now`` (Unix seconds)."""
        ...

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        """A fetch failed. ``serving`` is whether keys of an earlier fetch are still in use."""
        ...

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """``keys`` keys of an earlier run are in use until a fetch succeeds."""
        ...

    def looked_up(self, trust: str, result: str) -> None:
        """A check looked up a missing key; ``result`` is the value of an ``Outcome``."""
        ...


@dataclass(frozen=True, slots=True)
class RefresherStatus:
    """The state of a trust entry's keys, for the status page. Times are Unix seconds.

    ``recalled`` says that they were fetched by an earlier run.
    """

    trust: str
    source: str
    kids: tuple[str, ...]
    recalled: bool
    last_success: float | None
    last_error: str | None
    next_refresh: float | None
