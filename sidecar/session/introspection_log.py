"""What is written down about look-ups that fail: when it begins and when it ends, and not more."""

import logging
from typing import Final

_log = logging.getLogger(__name__)

# Seconds. One odd session among good ones would otherwise begin and end a failure at every request.
QUIET: Final = 10.0


class FailureLog:
    """The failures of one credential's look-ups."""

    def __init__(self, credential: str) -> None:
        self._credential = credential
        self._problem = ""
        self._quiet_until = 0.0

    def failed(self, problem: str, now: float) -> None:
        """A look-up failed: ``problem`` says why, ``now`` when (seconds, never set back)."""
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
