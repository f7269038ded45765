"""``sidecar drain`` beside a real Envoy, as the hook of a pod that ends."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import shop
from tests.support import http1
from tests.support.envoy import Envoy
from tests.support.http1 import Connection, Field
from tests.support.load import Load
from tests.support.pod import Pod
from tests.support.processes import Child, eventually
from tests.support.upstream import Upstream, hold

pytestmark = pytest.mark.every_envoy

# Never reached by a test that does not say so.
LONG = 60.0


def bearer() -> list[Field]:
    return [("authorization", f"Bearer {shop.token()}")]


def drain(envoy: Envoy, directory: Path, timeout: float = LONG) -> Child:
    """The command, started."""
    host, port = envoy.admin_address
    directory.mkdir()
    options = ("--admin", f"{host}:{port}", "--timeout", str(timeout))
    return Child((sys.executable, "-m", "sidecar", "drain", *options), directory)


def draining(envoy: Envoy) -> bool:
    """Whether Envoy asks its clients to go, or has closed its listeners already."""
    try:
        return http1.request(envoy.status_address).header("connection") == "close"
    except ConnectionRefusedError:
        return True


@contextmanager
def slow_request(pod: Pod, upstream: Upstream) -> Iterator[tuple[Connection, threading.Event]]:
    """A request that the application has, and answers when the event is set."""
    released = threading.Event()
    upstream.answers["/orders/slow"] = hold(released)
    with Connection(pod.envoy.address) as connection:
        connection.send(target="/orders/slow", headers=[("x-request-id", "slow"), *bearer()])
        eventually(lambda: upstream.received("slow"))
        try:
            yield connection, released
        finally:
            released.set()


def test_clients_under_load_go_elsewhere_and_no_request_fails(own_pod: Pod, tmp_path: Path) -> None:
    with (
        Load(own_pod.envoy.address, "/orders/1", bearer) as load,
        drain(own_pod.envoy, tmp_path / "drain") as command,
    ):
        assert command.wait(within=30) == 0
        assert load.over

    assert load.failures == []
    assert command.stderr() == ["drained: no connection is left"]


def test_a_request_under_way_is_waited_for(
    own_pod: Pod, own_upstream: Upstream, tmp_path: Path
) -> None:
    with (
        slow_request(own_pod, own_upstream) as (connection, released),
        drain(own_pod.envoy, tmp_path / "drain") as command,
    ):
        eventually(lambda: draining(own_pod.envoy))
        assert command.running
        released.set()
        response = connection.receive()
        assert (response.status, response.header("connection")) == (200, "close")
        connection.close()
        assert command.wait(within=30) == 0


def test_a_request_that_takes_longer_is_1(
    own_pod: Pod, own_upstream: Upstream, tmp_path: Path
) -> None:
    with (
        slow_request(own_pod, own_upstream) as (connection, released),
        drain(own_pod.envoy, tmp_path / "drain", timeout=0.3) as command,
    ):
        assert command.wait(within=30) == 1
        released.set()
        assert connection.receive().status == 200

    assert command.stderr() == [
        "not drained after 0.3 s; connections left: 1, requests under way, which may be cut off: 1"
    ]


def test_a_connection_that_its_client_keeps_without_using_it_is_no_failure(
    own_pod: Pod, tmp_path: Path
) -> None:
    with Connection(own_pod.envoy.address) as kept:
        assert kept.request(target="/orders/1", headers=bearer()).status == 200
        with drain(own_pod.envoy, tmp_path / "drain", timeout=0.3) as command:
            assert command.wait(within=30) == 0

    assert (
        "connections left: 1, requests under way, which may be cut off: 0" in (command.stderr()[0])
    )


def test_prometheus_and_operators_are_not_waited_for(own_pod: Pod, tmp_path: Path) -> None:
    envoy = own_pod.envoy
    with Connection(envoy.status_address) as scrape, Connection(envoy.admin_address) as operator:
        scrape.request(target="/nothing")
        operator.request(target="/ready")
        with drain(envoy, tmp_path / "drain") as command:
            assert command.wait(within=30) == 0


def test_an_envoy_that_ends_meanwhile_has_no_connections(
    own_pod: Pod, own_upstream: Upstream, tmp_path: Path
) -> None:
    with (
        slow_request(own_pod, own_upstream),
        drain(own_pod.envoy, tmp_path / "drain") as command,
    ):
        eventually(lambda: draining(own_pod.envoy))
        own_pod.envoy.process.stop()
        assert command.wait(within=30) == 0
