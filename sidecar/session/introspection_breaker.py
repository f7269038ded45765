"""A circuit breaker: an issuer that gives no answers is spared, and so are those who would wait."""

from typing import Final

TRIPPED_BY: Final = 3  # failures in a row
PAUSE: Final = 1.0  # seconds


class CircuitBreaker:
    """Counts failures that say nothing about the single session, only that the issuer is away.

    After three in a row nobody is asked for a second, and from then on one look-up at a time finds
    out whether the issuer is back. Without that, each request would wait out its whole time-out.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._paused_until = 0.0

    def admits(self, now: float, *, under_way: int) -> bool:
        """Whether one more look-up may begin.

        Args:
            now: seconds, by a clock that nobody sets back.
            under_way: how many look-ups have not come to an end.
        """
        if self._failures < TRIPPED_BY:
            return True
        return now >= self._paused_until and not under_way

    def succeeded(self) -> None:
        """The issuer answered."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """It did not, or not to anybody."""
        self._failures += 1
        self._paused_until = now + PAUSE
