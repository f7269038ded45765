"""A circuit breaker: while an issuer does not answer, look-ups fail at once."""

from typing import Final

TRIPPED_BY: Final = 3  # failures in a row
PAUSE: Final = 1.0  # seconds


class CircuitBreaker:
    """Counts failures of the issuer as a whole, not those about a single session.

    After three failures in a row no look-up is admitted for a second, and then one at a time until
    one succeeds. Without this, each request would wait for the full time-out.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._paused_until = 0.0

    def admits(self, now: float, *, under_way: int) -> bool:
        """Whether one more look-up may begin.

        Args:
            now: seconds of a monotonic clock.
            under_way: how many look-ups are in progress.
        """
        if self._failures < TRIPPED_BY:
            return True
        return now >= self._paused_until and not under_way

    def succeeded(self) -> None:
        """The issuer answered."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """The issuer did not answer, or refuses every request."""
        self._failures += 1
        self._paused_until = now + PAUSE
