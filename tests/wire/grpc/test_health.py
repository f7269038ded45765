"""The health service, asked by the stock client stub."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]  # it has no stubs
    HealthCheckRequest,
    HealthCheckResponse,
)
from grpc_health.v1.health_pb2_grpc import HealthStub  # type: ignore[import-untyped]  # likewise

from sidecar.wire.grpc.health import HEALTH_METHOD, health
from sidecar.wire.grpc.sockets import UnixAddress
from tests.support.served import Served, served, status_of


@pytest.fixture
def ready() -> list[bool]:
    return [True]


@pytest.fixture
def running(socket_directory: Path, ready: list[bool]) -> Iterator[Served]:
    handlers = {HEALTH_METHOD: health(lambda: ready[-1])}
    with served(UnixAddress(socket_directory / "authz.sock"), handlers) as running:
        yield running


@pytest.mark.parametrize("service", ["", "envoy.service.auth.v3.Authorization"])
def test_the_server_and_its_service_are_serving_while_ready(
    running: Served, ready: list[bool], service: str
) -> None:
    check = HealthStub(running.channel).Check
    request = HealthCheckRequest(service=service)
    assert check(request, timeout=5).status == HealthCheckResponse.SERVING
    ready.append(False)
    assert check(request, timeout=5).status == HealthCheckResponse.NOT_SERVING


def test_an_unknown_service_is_not_found(running: Served) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        HealthStub(running.channel).Check(HealthCheckRequest(service="other"), timeout=5)
    assert status_of(failure.value) is grpc.StatusCode.NOT_FOUND


def test_bytes_that_are_no_request_are_an_invalid_argument(running: Served) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        running.method(HEALTH_METHOD)(b"\xff", timeout=5)
    assert status_of(failure.value) is grpc.StatusCode.INVALID_ARGUMENT


def test_watching_is_unimplemented(running: Served) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        next(HealthStub(running.channel).Watch(HealthCheckRequest(), timeout=5))
    assert status_of(failure.value) is grpc.StatusCode.UNIMPLEMENTED
