"""The metrics of both roles. Label values come from closed sets, never from requests."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar.check.routes import Route
from sidecar.keys.lookups import Outcome
from sidecar.model import Allow, Decision, Reason, Step

# The route label of a request that reached no route.
NO_ROUTE: Final = ""
# From 50 microseconds, with Envoy's default time-out of 200 ms on an edge.
DURATION_BUCKETS: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0),
)

_TOKEN_STEPS: Final = (Step.PARSE, Step.TRUST, Step.KEY, Step.SIGNATURE, Step.CLAIMS)
# A token with a missing key is counted with the look-ups.
_LOOKED_UP: Final = (Reason.UNKNOWN_KEY, Reason.KEYS_UNAVAILABLE)
_TOKEN_RESULTS: Final = tuple(
    reason.label
    for reason in Reason
    if reason.step in (Step.KEY, Step.SIGNATURE, Step.CLAIMS) and reason not in _LOOKED_UP
)


class Description(NamedTuple):
    """A metric as the reference lists it."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str


class Metrics:
    """The metrics of both roles. ``telemetry.gateway_metrics`` adds those of a gateway."""

    def __init__(self) -> None:
        # The _created series are not used by Prometheus, and half the cost of a scrape.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self.registry = CollectorRegistry()
        self.descriptions: list[Description] = []
        self._checks = self.counter(
            "sidecar_checks",
            "Checks answered. decision: allow, deny, or would_deny in shadow mode.",
            ("route", "decision", "reason"),
        )
        self._duration = self.histogram(
            "sidecar_check_duration_seconds",
            "From a check's arrival to its answer, waiting for keys included.",
        )
        self._verifications = self.counter(
            "sidecar_verifications",
            "Tokens verified, by trust entry. result: valid, or the reason of the refusal.",
            ("issuer", "result"),
        )
        self._hits = self.counter(
            "sidecar_verified_cache_hits", "Tokens whose signature was remembered."
        )
        self._misses = self.counter(
            "sidecar_verified_cache_misses", "Tokens whose signature was not remembered."
        )
        self._keys = self.gauge("sidecar_keys", "Usable public keys known.", ("issuer",))
        self._refreshes = self.counter(
            "sidecar_key_refreshes",
            "Attempts to fetch an issuer's keys. result: success or failure.",
            ("issuer", "result"),
        )
        self._last_success = self.gauge(
            "sidecar_keys_last_success_timestamp_seconds",
            "When an issuer's keys were last fetched, in Unix seconds; 0 until they have been.",
            ("issuer",),
        )
        self._lookups = self.counter(
            "sidecar_unknown_key_lookups",
            "Look-ups of missing keys: an unknown kid, or no usable keys at all. result: "
            "found, absent or unavailable.",
            ("issuer", "result"),
        )
        self._reloads = self.counter(
            "sidecar_config_reloads",
            "Reloads of the configuration. result: success or failure.",
            ("result",),
        )
        self._reload_successful = self.gauge(
            "sidecar_config_last_reload_successful",
            "1 if the configuration that was read last is in use, 0 if the one before it still is.",
        )
        self._loaded_at = self.gauge(
            "sidecar_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was loaded.",
        )
        self._mode = self.gauge(
            "sidecar_mode",
            "1 for the mode in use, 0 for the other. mode: enforce or shadow.",
            ("mode",),
        )
        self._suppressed = self.counter(
            "sidecar_log_lines_suppressed", "Log lines about checks left out by the rate limit."
        )
        self._handled = self.counter(
            "grpc_server_handled",
            "gRPC calls completed, by method and status code.",
            ("grpc_method", "grpc_code"),
        )
        self.gauge("sidecar_build_info", "The release that runs.", ("version",)).labels(
            version("authz-sidecar")
        ).set(1)
        self._grpc_server = self.gauge(
            "sidecar_grpc_server_info",
            "The gRPC server in use: completion_queue, or public where the installed grpcio lacks "
            "what that needs, at a higher cost per check.",
            ("implementation",),
        )
        # Looking up a child by its labels is half the cost of counting; labels are closed sets.
        self._check = cache(self._checks.labels)
        self._verification = cache(self._verifications.labels)
        self._call = cache(self._handled.labels)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        for result in ("success", "failure"):
            self._reloads.labels(result)

    def expect(
        self,
        issuers: Iterable[str],
        routes: Iterable[Route],
        *,
        shadow: bool,
        further: Iterable[Reason] = (),
    ) -> None:
        """Export 0 for every label set that is possible under the configuration.

        ``further`` are additional reasons of a role, on routes that are not public.
        """
        denied = "would_deny" if shadow else "deny"
        for issuer in issuers:
            self._keys.labels(issuer)
            self._last_success.labels(issuer)
            for result in ("valid", *_TOKEN_RESULTS):
                self._verifications.labels(issuer, result)
            for result in ("success", "failure"):
                self._refreshes.labels(issuer, result)
            for outcome in Outcome:
                self._lookups.labels(issuer, outcome.value)
        for reason in (
            Reason.UNSAFE_PATH,
            Reason.INVALID_METHOD,
            Reason.NO_ROUTE,
            Reason.OVERLOADED,
            Reason.INTERNAL_ERROR,
        ):
            self._checks.labels(NO_ROUTE, denied, reason.label)
        # Refused in shadow mode, too (``check.pipeline.Pipeline.refuse``).
        self._checks.labels(NO_ROUTE, "deny", Reason.REQUEST_TOO_LARGE.label)
        for route in routes:
            reasons = _reasons(route)
            if not route.public:
                reasons += further
            for reason in reasons:
                decision = "allow" if reason.status == 200 else denied
                self._checks.labels(route.name, decision, reason.label)

    def forget(self, issuers: Iterable[str]) -> None:
        """Remove the series about keys of issuers that are no longer trusted.

        Otherwise the age of their keys would grow, and an alert on it would not end.
        """
        for issuer in issuers:
            self._keys.remove(issuer)
            self._last_success.remove(issuer)

    def expect_calls(self, outcomes: Iterable[tuple[str, str]]) -> None:
        """Export 0 for gRPC calls of these methods that end with these codes."""
        for method, code in outcomes:
            self._call(method, code)

    def decided(self, decision: Decision, duration: float) -> None:
        """A check was answered after ``duration`` seconds (``DecisionObserver``)."""
        route = decision.route or NO_ROUTE
        self._check(route, outcome_of(decision), decision.reason.label).inc()
        self._duration.observe(duration)

    def verified(self, trust: str, result: str) -> None:
        """A token was verified or refused (``VerificationObserver``)."""
        self._verification(trust, result).inc()

    def remembered(self, *, hit: bool) -> None:
        """A token was looked up among those remembered (``VerificationObserver``)."""
        (self._hits if hit else self._misses).inc()

    def refreshed(self, trust: str, keys: int, now: float) -> None:
        """A fetch of keys succeeded (``RefreshObserver``)."""
        self._refreshes.labels(trust, "success").inc()
        self.recalled(trust, keys, now)

    def recalled(self, trust: str, keys: int, fetched_at: float) -> None:
        """Keys fetched at that time are in use (``RefreshObserver``)."""
        self._keys.labels(trust).set(keys)
        self._last_success.labels(trust).set(fetched_at)

    def refresh_failed(self, trust: str, problem: str, *, serving: bool) -> None:
        """A fetch of keys failed (``RefreshObserver``)."""
        del problem  # for the log
        if not serving:
            self._keys.labels(trust).set(0)
        self._refreshes.labels(trust, "failure").inc()

    def looked_up(self, trust: str, result: str) -> None:
        """A missing key was looked up (``RefreshObserver``)."""
        self._lookups.labels(trust, result).inc()

    def configured(self, *, shadow: bool, now: float) -> None:
        """A configuration is in use from ``now`` on (Unix seconds)."""
        self._reload_successful.set(1)
        self._loaded_at.set(now)
        self._mode.labels("enforce").set(not shadow)
        self._mode.labels("shadow").set(shadow)

    def reloaded(self, *, shadow: bool, now: float) -> None:
        """The configuration was read again, and is in use from ``now`` on (Unix seconds)."""
        self._reloads.labels("success").inc()
        self.configured(shadow=shadow, now=now)

    def not_reloaded(self) -> None:
        """The configuration was read again, and is not used."""
        self._reloads.labels("failure").inc()
        self._reload_successful.set(0)

    def served_by(self, implementation: str) -> None:
        """The gRPC server that was chosen."""
        self._grpc_server.labels(implementation).set(1)

    def suppressed(self) -> None:
        """A log line was left out."""
        self._suppressed.inc()

    def handled(self, method: str, code: str) -> None:
        """A gRPC call is over."""
        self._call(method, code).inc()

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        """A new counter; ``_total`` is added to its name."""
        self.descriptions.append(Description(f"{name}_total", "counter", labels, text))
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """A new gauge."""
        self.descriptions.append(Description(name, "gauge", labels, text))
        return Gauge(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str) -> Histogram:
        """A new histogram of seconds."""
        self.descriptions.append(Description(name, "histogram", (), text))
        return Histogram(name, text, buckets=DURATION_BUCKETS, registry=self.registry)


def outcome_of(decision: Decision) -> str:
    """The decision, as metrics, logs and metadata name it."""
    if isinstance(decision, Allow):
        return "would_deny" if decision.would_deny else "allow"
    return "deny"


def _reasons(route: Route) -> list[Reason]:
    """The reasons a route's decisions can have."""
    if route.public:
        return [Reason.PUBLIC]
    return [
        Reason.AUTHORIZED,
        Reason.ANONYMOUS if route.optional else Reason.NO_CREDENTIAL,
        Reason.UNSUPPORTED_SCHEME,
        Reason.AMBIGUOUS_REQUEST,
        *(reason for reason in Reason if reason.step in _TOKEN_STEPS),
        Reason.IDENTITY_TOO_LARGE,
        *(reason for rule in route.rules for reason in rule.reasons),
    ]
