"""What is written down about keys: failures when they begin and end, not once per attempt."""

import logging
from datetime import UTC, datetime

from sidecar.telemetry.metrics import Metrics

_log = logging.getLogger("sidecar.keys")


class RefreshLog:
    """Tells metrics and log about the refreshing of keys (``RefreshObserver``)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._problems: dict[str, str] = {}

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """A fetch brought keys."""
        self._metrics.refreshed(trust, keys, now)
        if self._problems.pop(trust, None) is not None:
            _log.info("keys can be fetched again", extra={"issuer": trust, "keys": keys})

    def refresh_failed(self, trust: str, problem: str) -> None:
        """A fetch failed; the last good keys serve."""
        self._metrics.refresh_failed(trust, problem)
        if self._problems.get(trust) != problem:
            self._problems[trust] = problem
            _log.error(
                "keys cannot be fetched; the last good ones serve until they are too old",
                extra={"issuer": trust, "problem": problem},
            )

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """Keys of an earlier run serve until a fetch succeeds."""
        self._metrics.recalled(trust, keys, fetched_at)
        fetched = datetime.fromtimestamp(fetched_at, UTC).isoformat(timespec="seconds")
        _log.info(
            "saved keys serve until the source has answered",
            extra={"issuer": trust, "keys": keys, "fetched": fetched},
        )

    def looked_up(self, trust: str, result: str) -> None:
        """A check met an unknown kid."""
        self._metrics.looked_up(trust, result)
