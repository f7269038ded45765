"""An observer that ignores everything; tests override what they are about."""


class NullObserver:
    """Implements every observer protocol of ``sidecar`` but those of the wire."""

    def verified(self, trust: str, result: str) -> None:
        """``VerificationObserver``."""

    def remembered(self, *, hit: bool) -> None:
        """``VerificationObserver``."""

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """``RefreshObserver``."""

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        """``RefreshObserver``."""

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """``RefreshObserver``."""

    def looked_up(self, trust: str, result: str) -> None:
        """``RefreshObserver``."""

    def minted(self, kind: str, result: str, duration: float) -> None:
        """``MintObserver``."""

    def introspected(self, credential: str, result: str, duration: float) -> None:
        """``IntrospectionObserver``."""

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        """``IntrospectionObserver``."""
