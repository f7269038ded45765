"""Logs failures to fetch keys when they begin and end, not once per attempt."""

import logging
from datetime import UTC, datetime
from typing import Final

from sidecar.telemetry.metrics import Metrics

_log = logging.getLogger("sidecar.keys")

_SERVING: Final = "keys cannot be fetched; the last good ones serve until they are too old"
_NONE: Final = "keys cannot be fetched, and there are none: tokens of this issuer get a 503"


class RefreshLog:
    """Tells metrics and log about the refreshing of keys (``RefreshObserver``)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._problems: dict[str, tuple[str, str]] = {}

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """A fetch brought keys."""
        self._metrics.refreshed(trust, keys, now)
        if self._problems.pop(trust, None) is not None:
            _log.info("keys can be fetched again", extra={"issuer": trust, "keys": keys})

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        """A fetch failed: the last good keys stay in use, if there are any."""
        self._metrics.refresh_failed(trust, problem, serving=serving)
        message = _SERVING if serving else _NONE
        if self._problems.get(trust) != (message, problem):
            self._problems[trust] = message, problem
            _log.error(message, extra={"issuer": trust, "problem": problem})

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """Keys of an earlier run are in use until a fetch succeeds."""
        self._metrics.recalled(trust, keys, fetched_at)
        fetched = datetime.fromtimestamp(fetched_at, UTC).isoformat(timespec="seconds")
        _log.info(
            "saved keys serve until the source has answered",
            extra={"issuer": trust, "keys": keys, "fetched": fetched},
        )

    def looked_up(self, trust: str, result: str) -> None:
        """A check looked up a missing key."""
        self._metrics.looked_up(trust, result)
