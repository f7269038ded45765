"""The gateway's own metrics: what it mints and with which keys, and what it asks about sessions."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Final

from sidecar.keys.rings.lifecycle import State
from sidecar.model import GATEWAY_REASONS, Reason
from sidecar.telemetry.metrics import Metrics

# What can end a check with a credential here, besides what every route can.
REASONS: Final = (*GATEWAY_REASONS, Reason.IDENTITY_TOO_LARGE)
_MINTED: Final = {
    "request": ("minted", "reused", "unavailable", "too_large"),
    "session": ("minted", "unavailable", "too_large"),
}
_INTROSPECTED: Final = ("active", "inactive", "unavailable")
_EXPORTED_STATES: Final = (State.PUBLISHED, State.ACTIVE, State.RETIRED)


class GatewayMetrics:
    """Registers with the metrics of the process, and is the observer of minting and sessions."""

    def __init__(self, metrics: Metrics) -> None:
        self._minted = metrics.counter(
            "sidecar_tokens_minted",
            "Tokens asked for. kind: request or session. result: minted, reused, unavailable "
            "(no key can be used) or too_large.",
            ("kind", "result"),
        )
        self._mint_duration = metrics.histogram(
            "sidecar_mint_duration_seconds",
            "From the question for a token to the token, the signature included.",
        )
        self._signing_keys = metrics.gauge(
            "sidecar_signing_keys",
            "Keys of a ring by the state they are in: published, active or retired.",
            ("set", "state"),
        )
        self._introspections = metrics.counter(
            "sidecar_introspections",
            "Questions to a session's issuer. result: active, inactive or unavailable.",
            ("credential", "result"),
        )
        self._introspection_duration = metrics.histogram(
            "sidecar_introspection_duration_seconds",
            "From a question to a session's issuer to its answer.",
        )
        self._session_hits = metrics.counter(
            "sidecar_session_cache_hits",
            "Sessions about which a recent answer was remembered.",
            ("credential",),
        )
        self._session_misses = metrics.counter(
            "sidecar_session_cache_misses",
            "Sessions about which no recent answer was remembered.",
            ("credential",),
        )
        # As in Metrics: looking a child up by its labels is half of what counting costs.
        self._mint = cache(self._minted.labels)
        self._session_hit = cache(self._session_hits.labels)
        self._session_miss = cache(self._session_misses.labels)

    def expect(self, kinds: Iterable[str], introspected: Iterable[str]) -> None:
        """Export 0 for every label set the configuration can lead to, before it happens."""
        for kind in kinds:
            for result in _MINTED[kind]:
                self._minted.labels(kind, result)
        for credential in introspected:
            self._session_hits.labels(credential)
            self._session_misses.labels(credential)
            for result in _INTROSPECTED:
                self._introspections.labels(credential, result)

    def watch(self, rings: Mapping[str, Callable[[], Iterable[State]]]) -> None:
        """Export the states of the rings' keys, by set, as they are whenever somebody asks."""
        self._signing_keys.clear()
        for key_set, states in rings.items():
            for state in _EXPORTED_STATES:
                gauge = self._signing_keys.labels(key_set, state.value)
                gauge.set_function(partial(_count, states, state))

    def minted(self, kind: str, result: str, duration: float) -> None:
        """A token was asked for (``MintObserver``)."""
        self._mint(kind, result).inc()
        self._mint_duration.observe(duration)

    def introspected(self, credential: str, result: str, duration: float) -> None:
        """A session's issuer was asked (``IntrospectionObserver``)."""
        self._introspections.labels(credential, result).inc()
        self._introspection_duration.observe(duration)

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        """A session was looked for among the recent answers (``IntrospectionObserver``)."""
        (self._session_hit if hit else self._session_miss)(credential).inc()


def _count(states: Callable[[], Iterable[State]], state: State) -> float:
    return Counter(states())[state]
