"""Metrics: 0 from the start, closed label sets, one name each."""

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.check.rules import Scopes
from sidecar.model import Allow, Deny, HeaderChanges, Reason, RequestView
from sidecar.telemetry.metrics import DURATION_BUCKETS, Metrics, outcome_of
from sidecar.wire.grpc.calls import outcomes
from sidecar.wire.grpc.codec import Envelope
from tests.support.checks import route

ENVELOPE = Envelope(RequestView("GET", "/secret-path", "secret-host", ()), "secret-id", grpc=False)


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """A metric's values by its labels' values, in the order of the labels' names."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_what_can_happen_is_exported_as_zero_before_it_does() -> None:
    metrics = Metrics()
    routes = [
        route("health", "/health", public=True),
        route("read", "/read", Scopes(("orders:read",))),
        route("catalogue", "/catalogue", optional=True),
    ]
    metrics.expect(["gateway"], routes, shadow=False)
    checks = samples(metrics, "sidecar_checks_total")
    assert set(checks.values()) == {0.0}
    assert ("deny", "no_route", "") in checks
    assert ("deny", "insufficient_scope", "read") in checks
    assert ("deny", "expired", "read") in checks
    assert ("allow", "anonymous", "catalogue") in checks
    assert [labels for labels in checks if labels[2] == "health"] == [("allow", "public", "health")]
    assert ("deny", "invalid_method", "") in checks
    assert ("deny", "request_too_large", "") in checks
    for name in ("read", "catalogue"):
        for reason in ("unsupported_scheme", "ambiguous_request", "identity_too_large"):
            assert ("deny", reason, name) in checks
    assert ("deny", "missing_role", "read") not in checks, "the route asks for no role"
    assert samples(metrics, "sidecar_verifications_total")[("gateway", "valid")] == 0.0
    assert samples(metrics, "sidecar_key_refreshes_total")[("gateway", "failure")] == 0.0
    assert samples(metrics, "sidecar_unknown_key_lookups_total")[("gateway", "absent")] == 0.0
    assert samples(metrics, "sidecar_keys_last_success_timestamp_seconds") == {("gateway",): 0}
    assert samples(metrics, "sidecar_config_reloads_total") == {("failure",): 0, ("success",): 0}


def test_calls_that_can_be_made_are_exported_as_zero_before_they_are() -> None:
    metrics = Metrics()
    metrics.expect_calls(outcomes(["/a/B"]))
    calls = samples(metrics, "grpc_server_handled_total")
    assert set(calls.values()) == {0.0}
    assert {("OK", "/a/B"), ("ResourceExhausted", "/a/B"), ("Unimplemented", "unknown")} <= (
        calls.keys()
    )


def test_in_shadow_mode_the_denials_to_expect_are_those_not_carried_out() -> None:
    metrics = Metrics()
    metrics.expect([], [route("read")], shadow=True)
    outcomes = {labels[:2] for labels in samples(metrics, "sidecar_checks_total")}
    assert {decision for decision, _ in outcomes} == {"allow", "would_deny", "deny"}
    assert [reason for decision, reason in outcomes if decision == "deny"] == ["request_too_large"]


def test_a_decision_is_counted_under_its_route_and_reason() -> None:
    metrics = Metrics()
    metrics.decided(ENVELOPE, Deny(Reason.EXPIRED, "read"), 0.0001)
    metrics.decided(ENVELOPE, Deny(Reason.EXPIRED, "read"), 0.3)
    metrics.decided(ENVELOPE, Deny(Reason.UNSAFE_PATH), 0.0001)
    assert samples(metrics, "sidecar_checks_total") == {
        ("deny", "expired", "read"): 2,
        ("deny", "unsafe_path", ""): 1,
    }
    assert samples(metrics, "sidecar_check_duration_seconds_count") == {(): 3}


def test_nothing_of_a_request_becomes_a_label() -> None:
    metrics = Metrics()
    metrics.decided(ENVELOPE, Deny(Reason.NO_ROUTE), 0.0001)
    assert b"secret" not in generate_latest(metrics.registry)


def test_envoys_default_time_out_lies_on_an_edge_of_the_histogram() -> None:
    assert DURATION_BUCKETS[0] == 0.00005
    assert 0.2 in DURATION_BUCKETS
    assert list(DURATION_BUCKETS) == sorted(DURATION_BUCKETS)


def test_outcomes_are_named_for_what_became_of_the_request() -> None:
    deny = Deny(Reason.EXPIRED)
    allow = Allow(Reason.PUBLIC, "health", HeaderChanges())
    shadowed = Allow(Reason.EXPIRED, None, HeaderChanges(), would_deny=deny)
    assert [outcome_of(each) for each in (deny, allow, shadowed)] == ["deny", "allow", "would_deny"]


def test_keys_and_their_age_are_shown_by_issuer() -> None:
    metrics = Metrics()
    metrics.refreshed("gateway", 2, 1700000000.0)
    metrics.refresh_failed("gateway", "away", serving=True)
    metrics.looked_up("gateway", "found")
    assert samples(metrics, "sidecar_keys") == {("gateway",): 2}
    assert samples(metrics, "sidecar_keys_last_success_timestamp_seconds") == {
        ("gateway",): 1700000000.0
    }
    assert samples(metrics, "sidecar_key_refreshes_total") == {
        ("gateway", "success"): 1,
        ("gateway", "failure"): 1,
    }


def test_keys_that_have_become_too_old_are_not_counted_as_usable() -> None:
    metrics = Metrics()
    metrics.refreshed("gateway", 2, 1700000000.0)
    metrics.refresh_failed("gateway", "away", serving=False)
    assert samples(metrics, "sidecar_keys") == {("gateway",): 0}
    age = samples(metrics, "sidecar_keys_last_success_timestamp_seconds")
    assert age == {("gateway",): 1700000000.0}


def test_nothing_is_shown_of_the_keys_of_an_issuer_that_is_gone() -> None:
    metrics = Metrics()
    metrics.expect(["gateway", "partner"], [], shadow=False)
    metrics.forget(["partner"])
    assert samples(metrics, "sidecar_keys") == {("gateway",): 0}
    assert samples(metrics, "sidecar_keys_last_success_timestamp_seconds") == {("gateway",): 0}


def test_the_configuration_in_use_is_shown_with_its_mode_and_since_when() -> None:
    metrics = Metrics()

    def shown() -> tuple[float, float, dict[tuple[str, ...], float]]:
        return (
            samples(metrics, "sidecar_config_last_reload_successful")[()],
            samples(metrics, "sidecar_config_last_reload_success_timestamp_seconds")[()],
            samples(metrics, "sidecar_mode"),
        )

    metrics.configured(shadow=True, now=1700000000.0)
    assert shown() == (1, 1700000000.0, {("enforce",): 0, ("shadow",): 1})
    metrics.not_reloaded()
    assert shown() == (0, 1700000000.0, {("enforce",): 0, ("shadow",): 1})
    metrics.reloaded(shadow=False, now=1700000060.0)
    assert shown() == (1, 1700000060.0, {("enforce",): 1, ("shadow",): 0})
    assert samples(metrics, "sidecar_config_reloads_total") == {("success",): 1, ("failure",): 1}


def test_reloads_calls_and_the_cache_are_counted() -> None:
    metrics = Metrics()
    metrics.reloaded(shadow=False, now=0)
    metrics.handled("/a/B", "OK")
    metrics.remembered(hit=True)
    metrics.remembered(hit=False)
    metrics.verified("gateway", "valid")
    metrics.suppressed()
    assert samples(metrics, "sidecar_config_reloads_total")[("success",)] == 1
    assert samples(metrics, "grpc_server_handled_total") == {("OK", "/a/B"): 1}
    assert samples(metrics, "sidecar_verified_cache_hits_total") == {(): 1}
    assert samples(metrics, "sidecar_verified_cache_misses_total") == {(): 1}
    assert samples(metrics, "sidecar_verifications_total") == {("gateway", "valid"): 1}
    assert samples(metrics, "sidecar_log_lines_suppressed_total") == {(): 1}
