"""Stopping: in the order of a pod (application, Envoy, sidecar) no request fails."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support.http1 import Connection, Field
from tests.support.load import Load
from tests.support.pod import Pod, running_pod
from tests.support.processes import eventually
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, hold

pytestmark = pytest.mark.every_envoy


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An application of the test's own, for it to stop."""
    with Upstream() as application:
        yield application


@pytest.fixture
def sidecar(tmp_path: Path, socket_directory: Path) -> Iterator[SidecarProcess]:
    with SidecarProcess(shop.configuration(tmp_path), tmp_path, socket_directory) as running:
        yield running


@pytest.fixture
def pod(
    envoy_version: str,
    sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(
        envoy_version, directory, authz=sidecar.socket, upstream=upstream, concurrency=2
    ) as running:
        yield running


def bearer() -> list[Field]:
    return [("authorization", f"Bearer {shop.token()}")]


def test_pod_stops_in_order_under_load_and_no_request_fails(
    pod: Pod, sidecar: SidecarProcess, upstream: Upstream
) -> None:
    with Load(pod.envoy.address, "/orders/1", bearer) as load:
        # The pod is taken out of service; its hook has Envoy send its clients elsewhere.
        pod.envoy.admin("/drain_listeners?graceful", "POST")
        eventually(lambda: load.over, within=30)
        upstream.wait_until_idle()
        assert pod.envoy.process.stop() == 0
        assert sidecar.process.stop() == 0

    assert load.failures == []


def test_sidecar_told_to_stop_serves_until_envoy_is_gone(pod: Pod, sidecar: SidecarProcess) -> None:
    with Load(pod.envoy.address, "/orders/1", bearer) as load:
        sidecar.process.signal(signal.SIGTERM)
        eventually(lambda: not sidecar.ready())
        load.wait_for(200)
        pod.envoy.admin("/drain_listeners?graceful", "POST")
        eventually(lambda: load.over, within=30)
        pod.envoy.process.stop()
        exit_code = sidecar.process.wait()

    assert exit_code == 0
    assert load.failures == []


def test_request_under_way_is_finished(
    pod: Pod, sidecar: SidecarProcess, upstream: Upstream
) -> None:
    released = threading.Event()
    upstream.answers["/orders/slow"] = hold(released)

    with Connection(pod.envoy.address) as connection:
        connection.send(target="/orders/slow", headers=[("x-request-id", "slow"), *bearer()])
        eventually(lambda: upstream.received("slow"))
        sidecar.process.signal(signal.SIGTERM)
        released.set()
        response = connection.receive()

    assert response.status == 200


def test_restart_of_a_sidecar_alone_is_a_gap_of_503_and_never_a_200_unchecked(
    pod: Pod, sidecar: SidecarProcess, record_property: Callable[[str, object], None]
) -> None:
    with Load(pod.envoy.address, "/orders/1", bearer) as load:
        sidecar.process.signal(signal.SIGKILL)
        sidecar.process.wait()
        sidecar.start()
        load.wait_for(50)

    times = [failure.at for failure in load.failures]
    gap = max(times) - min(times) if times else 0.0
    record_property(
        f"a sidecar alone restarted, Envoy {pod.envoy.version}",
        f"{len(times)} of {load.answered} requests refused, within {gap:.2f} s",
    )
    assert {failure.what for failure in load.failures} <= {"503"}
