"""What a refresher reports: events to an observer, and its status on request."""

from dataclasses import dataclass
from typing import Protocol


class RefreshObserver(Protocol):
    """Told what happens to the keys of a trust entry."""

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """A fetch brought this many keys, at ``now`` (Unix seconds)."""
        ...

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        """A fetch failed. ``serving`` is whether keys of an earlier one are there to be used."""
        ...

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """As many keys of an earlier run serve until a fetch succeeds."""
        ...

    def looked_up(self, trust: str, result: str) -> None:
        """A check needed a key that was not there, and how that ended (an ``Outcome``)."""
        ...


@dataclass(frozen=True, slots=True)
class RefresherStatus:
    """How a trust entry's keys are doing, for people. Times are Unix seconds.

    ``recalled`` says that they were fetched by an earlier run.
    """

    trust: str
    source: str
    kids: tuple[str, ...]
    recalled: bool
    last_success: float | None
    last_error: str | None
    next_refresh: float | None
