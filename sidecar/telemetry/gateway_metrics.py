"""The gateway's own metrics: about minted tokens, key rings, introspection and sessions."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Final

from sidecar.model import LISTENER_REASONS, Deny, Reason, Step
from sidecar.rings.lifecycle import State
from sidecar.telemetry.metrics import Metrics

# The steps that verify a credential.
_IDENTIFYING: Final = frozenset(
    {Step.PARSE, Step.TRUST, Step.KEY, Step.SIGNATURE, Step.SESSION, Step.CLAIMS}
)
_MINTED: Final = {
    "request": ("minted", "reused", "unavailable", "too_large"),
    "session": ("minted", "unavailable", "too_large"),
}
_INTROSPECTED: Final = ("active", "inactive", "unavailable")
# The results of a request for a session.
ISSUED: Final = "issued"
# The credential label of a request for a session without one.
NO_CREDENTIAL: Final = ""
_NO_CREDENTIAL: Final = (
    *(Reason.NO_CREDENTIAL, Reason.AMBIGUOUS_REQUEST, Reason.UNSUPPORTED_SCHEME),
    *(Reason.MALFORMED_TOKEN, Reason.NO_ROUTE, Reason.REQUEST_TOO_LARGE, Reason.INTERNAL_ERROR),
)
_NO_SESSION: Final = (
    *(reason for reason in Reason if reason.step in _IDENTIFYING),
    *(Reason.IDENTITY_TOO_LARGE, Reason.SIGNING_UNAVAILABLE),
)
_REFUSED_INSIDE: Final = (*LISTENER_REASONS, Reason.NO_ROUTE, Reason.KEYS_UNAVAILABLE)
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
            "The time to mint a token, including its signature.",
        )
        self._signing_keys = metrics.gauge(
            "sidecar_signing_keys",
            "Keys of a ring by the state they are in: published, active or retired.",
            ("set", "state"),
        )
        self._rotation_due = metrics.gauge(
            "sidecar_signing_key_rotation_due_timestamp_seconds",
            "When a ring's next key is due to be published, to replace its newest in time; 0 while "
            "there are no keys. Not for a transit key, which Vault rotates.",
            ("set",),
        )
        self._introspections = metrics.counter(
            "sidecar_introspections",
            "Introspection requests. result: active, inactive or unavailable.",
            ("credential", "result"),
        )
        self._introspection_duration = metrics.histogram(
            "sidecar_introspection_duration_seconds",
            "The time of an introspection request.",
        )
        self._session_hits = metrics.counter(
            "sidecar_session_cache_hits",
            "Sessions whose introspection response was cached.",
            ("credential",),
        )
        self._session_misses = metrics.counter(
            "sidecar_session_cache_misses",
            "Sessions whose introspection response was not cached.",
            ("credential",),
        )
        self._exchanges = metrics.counter(
            "sidecar_session_requests",
            "Sessions asked for at POST /session, by the credential that was brought. result: "
            "issued, or the reason of the refusal.",
            ("credential", "result"),
        )
        self._refused_inside = metrics.counter(
            "sidecar_internal_refusals",
            "Other requests that the internal listener refused.",
            ("reason",),
        )
        for reason in _REFUSED_INSIDE:
            self._refused_inside.labels(reason.label)
        # As in Metrics: looking up a child by its labels is half the cost of counting.
        self._mint = cache(self._minted.labels)
        self._session_hit = cache(self._session_hits.labels)
        self._session_miss = cache(self._session_misses.labels)

    def expect(
        self, kinds: Iterable[str], introspected: Iterable[str], exchanged: Iterable[str] = ()
    ) -> None:
        """Export 0 for every label set that is possible under the configuration.

        Args:
            kinds: the kinds of the tokens that are minted.
            introspected: the credentials that are verified by introspection.
            exchanged: the credentials that sessions are issued for.
        """
        for reason in _NO_CREDENTIAL:
            self._exchanges.labels(NO_CREDENTIAL, reason.label)
        for credential in exchanged:
            for result in (ISSUED, *(reason.label for reason in _NO_SESSION)):
                self._exchanges.labels(credential, result)
        for kind in kinds:
            for result in _MINTED[kind]:
                self._minted.labels(kind, result)
        for credential in introspected:
            self._session_hits.labels(credential)
            self._session_misses.labels(credential)
            for result in _INTROSPECTED:
                self._introspections.labels(credential, result)

    def watch(
        self,
        rings: Mapping[str, Callable[[], Iterable[State]]],
        rotations: Mapping[str, Callable[[], float]],
    ) -> None:
        """Export the state of the rings, by set; it is read for each scrape.

        Args:
            rings: functions that return the states of a ring's keys.
            rotations: functions that return when the next key is due, in Unix seconds.
        """
        self._signing_keys.clear()
        self._rotation_due.clear()
        for key_set, states in rings.items():
            for state in _EXPORTED_STATES:
                gauge = self._signing_keys.labels(key_set, state.value)
                gauge.set_function(partial(_count, states, state))
        for key_set, due in rotations.items():
            self._rotation_due.labels(key_set).set_function(due)

    def minted(self, kind: str, result: str, duration: float) -> None:
        """A token was asked for (``MintObserver``)."""
        self._mint(kind, result).inc()
        self._mint_duration.observe(duration)

    def exchanged(self, credential: str, denial: Deny | None) -> None:
        """A session was asked for, and issued where there is no denial."""
        self._exchanges.labels(credential, denial.reason.label if denial else ISSUED).inc()

    def refused_inside(self, denial: Deny) -> None:
        """The internal listener refused a request for something else."""
        self._refused_inside.labels(denial.reason.label).inc()

    def introspected(self, credential: str, result: str, duration: float) -> None:
        """An introspection request has ended (``IntrospectionObserver``)."""
        self._introspections.labels(credential, result).inc()
        self._introspection_duration.observe(duration)

    def remembered_session(self, credential: str, *, hit: bool) -> None:
        """A session was looked up in the cache of answers (``IntrospectionObserver``)."""
        (self._session_hit if hit else self._session_miss)(credential).inc()


def _count(states: Callable[[], Iterable[State]], state: State) -> float:
    return Counter(states())[state]
