"""No answer, a late one or a wrong one is never a yes: the client gets a 503."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import grpc
import pytest

from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from tests.support.authz_server import Check, grpc_server, raw_server
from tests.support.pod import Exchange, Pod, running_pod
from tests.support.ports import socket_directory
from tests.support.upstream import Upstream

pytestmark = pytest.mark.every_envoy


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    """Where Envoy looks for the sidecar."""
    with socket_directory() as directory:
        yield directory / "authz.sock"


@pytest.fixture(scope="module")
def pod(
    envoy_version: str, socket: Path, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pod]:
    directory = tmp_path_factory.mktemp("envoy")
    with running_pod(envoy_version, directory, authz=socket, upstream=upstream) as running:
        yield running


def never(_request: bytes, context: grpc.ServicerContext) -> bytes:
    """Keep Envoy waiting until it gives up."""
    given_up = threading.Event()
    context.add_callback(given_up.set)
    given_up.wait(10)
    return b""


def late(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """Say yes after as long as a check may take that has to wait for a key, and some more."""
    threading.Event().wait(0.3)
    return b""


def failing_with(code: grpc.StatusCode) -> Check:
    def check(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "no")

    return check


def answering(response: bytes) -> Check:
    return lambda _request, _context: response


def assert_refused_as_unavailable(exchange: Exchange) -> None:
    assert exchange.response.status == 503
    assert not exchange.reached_the_application
    assert exchange.access_log["response_flags"] == "UAEX"
    assert exchange.access_log["response_details"] == "ext_authz_error"


def test_sidecar_that_is_not_there(pod: Pod) -> None:
    assert_refused_as_unavailable(pod.request())


def test_a_failure_is_counted_as_such_and_not_as_a_denial(pod: Pod) -> None:
    pod.request()

    stats = pod.envoy.stats()

    assert stats["cluster.application.ext_authz.sidecar.error"] > 0
    assert stats.get("cluster.application.ext_authz.sidecar.denied", 0) == 0


def test_sidecar_that_does_not_answer_in_time(pod: Pod, socket: Path) -> None:
    with grpc_server(socket, never):
        assert_refused_as_unavailable(pod.request())


def test_sidecar_that_answers_late_but_in_time_is_waited_for(pod: Pod, socket: Path) -> None:
    with grpc_server(socket, late):
        exchange = pod.request()

    assert exchange.response.status == 200
    assert exchange.reached_the_application


@pytest.mark.parametrize("code", sorted(set(grpc.StatusCode) - {grpc.StatusCode.OK}, key=str))
def test_call_that_fails(pod: Pod, socket: Path, code: grpc.StatusCode) -> None:
    with grpc_server(socket, failing_with(code)):
        assert_refused_as_unavailable(pod.request())


@pytest.mark.parametrize(
    "response", [b"\xff\xff\xff\xff", b"<html>ok</html>", b"\x00"], ids=["bytes", "html", "nul"]
)
def test_answer_that_is_no_check_response(pod: Pod, socket: Path, response: bytes) -> None:
    with grpc_server(socket, answering(response)):
        assert_refused_as_unavailable(pod.request())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":path", "/admin"),
        (":method", "DELETE"),
        ("host", "evil.example"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-user-id", "alice\r\nx-admin: 1"),
        ("x user id", "alice"),
    ],
)
def test_answer_that_changes_what_is_asked_for_or_is_malformed_is_an_error(
    pod: Pod, socket: Path, name: str, value: str
) -> None:
    response = CheckResponse()
    option = response.ok_response.headers.add()
    option.header.key, option.header.value = name, value

    with grpc_server(socket, answering(response.SerializeToString())):
        exchange = pod.request()

    assert exchange.response.status == 500
    assert exchange.access_log["response_details"] == "ext_authz_invalid"
    assert not exchange.reached_the_application


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", bytes(range(256))],
    ids=["nothing", "http1", "bytes"],
)
def test_server_that_speaks_no_http2(pod: Pod, socket: Path, answer: bytes) -> None:
    with raw_server(socket, answer):
        assert_refused_as_unavailable(pod.request())


@pytest.mark.parametrize("there", [False, True], ids=["absent", "silent"])
def test_websocket_without_an_answer(pod: Pod, socket: Path, there: bool) -> None:
    server: AbstractContextManager[None] = grpc_server(socket, never) if there else nullcontext()
    with server:
        exchange = pod.request(headers=[("connection", "upgrade"), ("upgrade", "websocket")])

    assert_refused_as_unavailable(exchange)
