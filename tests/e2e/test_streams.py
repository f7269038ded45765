"""Streams are checked when they begin, and end before their token could be long gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e import shop
from tests.support import envoy
from tests.support.grpc_application import ECHO, WATCH, Metadata, call, grpc_application
from tests.support.http1 import Connection, Field
from tests.support.pod import Pod, running_pod
from tests.support.sidecar_process import SidecarProcess
from tests.support.upstream import Upstream, echo_upgraded

pytestmark = pytest.mark.every_envoy

UPGRADE: list[Field] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.fixture(scope="module")
def impatient_pod(
    envoy_version: str,
    sidecar: SidecarProcess,
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    """A pod whose streams may last one second, as shipped they may five minutes."""
    configuration = envoy.load(envoy.PLAIN)
    manager = envoy.http_connection_manager(configuration)
    manager["common_http_protocol_options"]["max_stream_duration"] = "1s"
    upstream.answers["/orders/socket"] = echo_upgraded
    directory: Path = tmp_path_factory.mktemp("envoy")
    with (
        grpc_application() as application,
        running_pod(
            envoy_version,
            directory,
            authz=sidecar.socket,
            upstream=upstream,
            configuration=configuration,
            application_grpc=application,
        ) as pod,
    ):
        yield pod


def bearer(**changes: Any) -> tuple[str, str]:
    return ("authorization", f"Bearer {shop.token(**changes)}")


def test_websocket_works_and_ends_with_the_longest_stream(impatient_pod: Pod) -> None:
    with Connection(impatient_pod.envoy.address) as connection:
        opened = connection.request(target="/orders/socket", headers=[*UPGRADE, bearer()])
        connection.socket.sendall(b"ping")
        echoed = connection.read(4)
        afterwards = connection.read(1)

    assert opened.status == 101
    assert echoed == b"ping"
    assert afterwards == b""


def test_websocket_without_a_token_is_refused(impatient_pod: Pod) -> None:
    with Connection(impatient_pod.envoy.address) as connection:
        refused = connection.request(target="/orders/socket", headers=UPGRADE)

    assert refused.status == 401


def test_grpc_call_works(impatient_pod: Pod) -> None:
    metadata: Metadata = (bearer(scope="orders:read"),)

    outcome = call(impatient_pod.envoy.address, ECHO, metadata, b"hello")

    assert outcome.code is grpc.StatusCode.OK
    assert outcome.messages == [b"hello"]


def test_grpc_stream_works_and_ends_with_the_longest_stream(impatient_pod: Pod) -> None:
    metadata: Metadata = (bearer(scope="orders:read"),)

    outcome = call(impatient_pod.envoy.address, WATCH, metadata)

    assert outcome.messages
    assert outcome.code is not grpc.StatusCode.OK
    # The client's own limit is thirty seconds.
    assert outcome.code is not grpc.StatusCode.DEADLINE_EXCEEDED
