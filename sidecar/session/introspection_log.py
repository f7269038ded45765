"""Logs when look-ups begin to fail and when they succeed again, not every failure."""

import logging
from typing import Final

_log = logging.getLogger(__name__)

# The least time between two log lines about failures, in seconds.
QUIET: Final = 10.0


class FailureLog:
    """The failures of one credential's look-ups."""

    def __init__(self, credential: str) -> None:
        self._credential = credential
        self._problem = ""
        self._quiet_until = 0.0

    def failed(self, problem: str, now: float) -> None:
        """A look-up failed because of ``problem`` at ``now`` (seconds of a monotonic clock)."""
        if problem == self._problem or now < self._quiet_until:
            return
        self._problem, self._quiet_until = problem, now + QUIET
        _log.error(
            "sessions cannot be looked up; requests with them are answered with 503",
            extra={"credential": self._credential, "problem": problem},
        )

    def succeeded(self) -> None:
        """A look-up was answered."""
        if self._problem:
            self._problem = ""
            _log.info("sessions can be looked up again", extra={"credential": self._credential})
