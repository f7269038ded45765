"""Stopping: in the order of a pod (application, Envoy, sidecar) no request fails."""

import signal
import threading
from collections.abc import Callable

import pytest

from tests.e2e import shop
from tests.support.http1 import Connection, Field
from tests.support.load import Load
from tests.support.pod import Pod
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, hold

pytestmark = pytest.mark.every_envoy


def bearer() -> list[Field]:
    return [("authorization", f"Bearer {shop.token()}")]


def test_pod_stops_in_order_under_load_and_no_request_fails(
    own_pod: Pod, own_sidecar: SidecarProcess, own_upstream: Upstream
) -> None:
    with Load(own_pod.envoy.address, "/orders/1", bearer) as load:
        # The pod is taken out of service; its hook has Envoy send its clients elsewhere.
        own_pod.envoy.admin("/drain_listeners?graceful", "POST")
        eventually(lambda: load.over, within=30)
        own_upstream.wait_until_idle()
        assert own_pod.envoy.process.stop() == 0
        assert own_sidecar.process.stop() == 0

    assert load.failures == []


def test_sidecar_told_to_stop_serves_until_envoy_is_gone(
    own_pod: Pod, own_sidecar: SidecarProcess
) -> None:
    with Load(own_pod.envoy.address, "/orders/1", bearer) as load:
        own_sidecar.process.signal(signal.SIGTERM)
        eventually(lambda: not own_sidecar.ready())
        load.wait_for(200)
        own_pod.envoy.admin("/drain_listeners?graceful", "POST")
        eventually(lambda: load.over, within=30)
        own_pod.envoy.process.stop()
        exit_code = own_sidecar.process.wait()

    assert exit_code == 0
    assert load.failures == []


def test_request_under_way_is_finished(
    own_pod: Pod, own_sidecar: SidecarProcess, own_upstream: Upstream
) -> None:
    released = threading.Event()
    own_upstream.answers["/orders/slow"] = hold(released)

    with Connection(own_pod.envoy.address) as connection:
        connection.send(target="/orders/slow", headers=[("x-request-id", "slow"), *bearer()])
        eventually(lambda: own_upstream.received("slow"))
        own_sidecar.process.signal(signal.SIGTERM)
        released.set()
        response = connection.receive()

    assert response.status == 200


def test_restart_of_a_sidecar_alone_is_a_gap_of_503_and_never_a_200_unchecked(
    own_pod: Pod, own_sidecar: SidecarProcess, record_property: Callable[[str, object], None]
) -> None:
    with Load(own_pod.envoy.address, "/orders/1", bearer) as load:
        own_sidecar.process.signal(signal.SIGKILL)
        own_sidecar.process.wait()
        own_sidecar.start()
        load.wait_for(50)

    times = [failure.at for failure in load.failures]
    gap = max(times) - min(times) if times else 0.0
    record_property(
        f"a sidecar alone restarted, Envoy {own_pod.envoy.version}",
        f"{len(times)} of {load.answered} requests refused, within {gap:.2f} s",
    )
    assert {failure.what for failure in load.failures} <= {"503"}
