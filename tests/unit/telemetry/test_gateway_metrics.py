"""The gateway's own metrics: what it says about the keys of its rings."""

from prometheus_client import generate_latest

from sidecar.rings.lifecycle import State
from sidecar.telemetry.gateway_metrics import GatewayMetrics
from sidecar.telemetry.metrics import Metrics


def lines(metrics: Metrics, name: str) -> list[str]:
    """A metric's samples, as they are exported."""
    page = generate_latest(metrics.registry).decode().splitlines()
    return [line for line in page if line.startswith(f"{name}{{")]


def test_keys_are_counted_by_state_as_they_are_when_somebody_asks() -> None:
    metrics, states = Metrics(), [State.ACTIVE]
    GatewayMetrics(metrics).watch({"request": lambda: states}, {})
    states.append(State.PUBLISHED)
    assert lines(metrics, "sidecar_signing_keys") == [
        'sidecar_signing_keys{set="request",state="published"} 1.0',
        'sidecar_signing_keys{set="request",state="active"} 1.0',
        'sidecar_signing_keys{set="request",state="retired"} 0.0',
    ]


def test_the_next_rotation_is_shown_by_the_rings_that_say_when_it_is_due() -> None:
    metrics = Metrics()
    gateway = GatewayMetrics(metrics)
    gateway.watch({"request": list, "session": list}, {"session": lambda: 1700000000.0})
    name = "sidecar_signing_key_rotation_due_timestamp_seconds"
    assert lines(metrics, name) == [f'{name}{{set="session"}} 1.7e+09']

    gateway.watch({"request": list}, {"request": lambda: 0.0})
    assert lines(metrics, name) == [f'{name}{{set="request"}} 0.0'], "a ring that is no more"
