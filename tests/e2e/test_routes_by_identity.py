"""Envoy's routes that look at identity headers: what ``clear_route_cache`` makes of them."""

import pytest

from tests.e2e import shop
from tests.support import envoy
from tests.support.http1 import Field
from tests.support.pod import Exchange, Pod
from tests.support.pod_fixtures import StartPod
from tests.support.sidecar_process import SidecarProcess

pytestmark = pytest.mark.every_envoy

FORGED: Field = ("x-user-id", "alice")


def by_identity(
    sidecar: SidecarProcess,
    start_pod: StartPod,
    *,
    clear_route_cache: bool,
    checked_as: str | None = None,
) -> Pod:
    """A pod whose Envoy has a route for alice, and tells the application which route it took.

    ``checked_as`` is the sidecar's route that this one names.
    """
    configuration = envoy.load(envoy.PLAIN)
    envoy.http_filter(configuration, "ext_authz")["clear_route_cache"] = clear_route_cache
    alice = {"name": "x-user-id", "string_match": {"exact": "alice"}}
    routes = envoy.routes(configuration)
    routes[:] = [
        {
            "match": {"prefix": "/", **extra},
            "route": {"cluster": "application"},
            "request_headers_to_add": [{"header": {"key": "x-route", "value": name}}],
        }
        for name, extra in (("alice", {"headers": [alice]}), ("other", {}))
    ]
    if checked_as:
        routes[0]["typed_per_filter_config"] = envoy.checked_as(checked_as)
    return start_pod(sidecar, configuration)


@pytest.fixture(scope="module")
def chosen_before(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    return by_identity(sidecar, start_pod, clear_route_cache=False)


@pytest.fixture(scope="module")
def chosen_again(sidecar: SidecarProcess, start_pod: StartPod) -> Pod:
    return by_identity(sidecar, start_pod, clear_route_cache=True)


def route_and_user(exchange: Exchange) -> tuple[list[bytes], list[bytes]]:
    received = exchange.received
    return received.values("x-route"), received.values("x-user-id")


def test_as_shipped_what_the_client_sent_chooses_the_route(chosen_before: Pod) -> None:
    """Never who was authenticated; the application still gets the right name."""
    alice = chosen_before.request(target="/orders/1", token=shop.token())
    bob = chosen_before.request(
        target="/orders/1", headers=[FORGED], token=shop.token(subject="bob")
    )
    nobody = chosen_before.request(target="/healthz", headers=[FORGED])

    assert route_and_user(alice) == ([b"other"], [b"alice"])
    assert route_and_user(bob) == ([b"alice"], [b"bob"])
    assert route_and_user(nobody) == ([b"alice"], [])


def test_with_the_cache_cleared_who_was_authenticated_chooses_the_route(chosen_again: Pod) -> None:
    alice = chosen_again.request(target="/orders/1", token=shop.token())
    bob = chosen_again.request(
        target="/orders/1", headers=[FORGED], token=shop.token(subject="bob")
    )
    nobody = chosen_again.request(target="/healthz", headers=[FORGED])

    assert route_and_user(alice) == ([b"alice"], [b"alice"])
    assert route_and_user(bob) == ([b"other"], [b"bob"])
    assert route_and_user(nobody) == ([b"other"], [])


@pytest.mark.parametrize("clear_route_cache", [False, True])
def test_settings_of_a_route_by_identity_hold_for_whoever_forges_the_header(
    sidecar: SidecarProcess, start_pod: StartPod, *, clear_route_cache: bool
) -> None:
    """Why such a route must have none: here the request is checked as one for a public route."""
    pod = by_identity(sidecar, start_pod, clear_route_cache=clear_route_cache, checked_as="health")

    forged = pod.request(target="/orders/1", headers=[FORGED])
    honest = pod.request(target="/orders/1")

    assert (forged.response.status, honest.response.status) == (200, 401)
    assert forged.access_log["route"] == "health"
