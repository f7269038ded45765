"""Clients that break the protocol, vanish or send nonsense cost their own call and no more.

Every test ends with a server that still answers and stops at once: what a call held was released.
"""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sidecar.wire.grpc.calls import Limits
from sidecar.wire.grpc.sockets import UnixAddress
from tests.support.processes import eventually
from tests.support.served import ECHO, PARK, Served, served, status_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS = 1, 4


@pytest.fixture
def echo(socket_directory: Path) -> Iterator[Served]:
    with served(
        UnixAddress(socket_directory / "authz.sock"), limits=Limits(max_message=1000)
    ) as running:
        yield running
        assert running.echo(b"still there") == b"still there"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(method: str) -> bytes:
    """The header block of a gRPC call, literals without indexing (RFC 7541 §6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


def connected(echo: Served, *frames: bytes) -> socket.socket:
    address = echo.server.address
    assert isinstance(address, UnixAddress)
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(address.path))
    client.sendall(PREFACE + frame(SETTINGS, 0, 0) + b"".join(frames))
    return client


def test_a_message_above_the_limit_is_refused(echo: Served) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        echo.echo(b"x" * 1001)
    assert status_of(failure.value) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_call_that_ends_without_a_message_is_refused(echo: Served) -> None:
    call: grpc.StreamUnaryMultiCallable[bytes, bytes] = echo.channel.stream_unary(ECHO)
    with pytest.raises(grpc.RpcError) as failure:
        call(iter(()), timeout=5)
    assert status_of(failure.value) is grpc.StatusCode.INVALID_ARGUMENT
    echo.wait_for((ECHO, "InvalidArgument"))


def test_of_two_messages_the_first_is_answered(echo: Served) -> None:
    call: grpc.StreamUnaryMultiCallable[bytes, bytes] = echo.channel.stream_unary(ECHO)
    assert call(iter((b"first", b"second")), timeout=5) == b"first"


def test_a_client_may_cancel_a_parked_call(echo: Served) -> None:
    future = echo.park()
    future.cancel()
    echo.parked[0].reply(b"too late, or nearly")
    eventually(lambda: echo.handled)


def test_a_client_may_vanish_during_a_parked_call(echo: Served, grpc_server: str) -> None:
    message = b"\0" + struct.pack(">I", 2) + b"hi"
    with connected(
        echo,
        frame(HEADERS, END_HEADERS, 1, headers(PARK)),
        frame(DATA, END_STREAM, 1, message),
    ):
        eventually(lambda: echo.parked)
    eventually(lambda: echo.server.connections() == 0)
    if grpc_server == "public":
        # This one reports the call when the client leaves, the other when it is answered.
        eventually(lambda: echo.handled)
    echo.parked[0].reply(b"too late")
    echo.wait_for((PARK, "Canceled"))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="no message"),
        pytest.param(b"\0", id="half a length"),
        pytest.param(b"\0" + struct.pack(">I", 100) + b"half", id="half a message"),
    ],
)
def test_a_client_may_vanish_before_its_message_is_complete(echo: Served, sent: bytes) -> None:
    with connected(echo, frame(HEADERS, END_HEADERS, 1, headers(ECHO)), frame(DATA, 0, 1, sent)):
        eventually(lambda: echo.server.connections() == 1)
    eventually(lambda: echo.server.connections() == 0)


def test_a_client_may_reset_its_stream_before_the_message(echo: Served) -> None:
    cancel = struct.pack(">I", 8)
    with connected(
        echo, frame(HEADERS, END_HEADERS, 1, headers(ECHO)), frame(RST_STREAM, 0, 1, cancel)
    ):
        echo.wait_for((ECHO, "Canceled"))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\0" + struct.pack(">I", 100) + b"half", id="half a message"),
        pytest.param(b"\1" + struct.pack(">I", 4) + b"flat", id="compressed without a codec"),
        pytest.param(b"\0" + struct.pack(">I", 2**32 - 1), id="four gigabytes announced"),
        pytest.param(b"\xff" * 40, id="noise"),
    ],
)
def test_a_broken_message_ends_its_call(echo: Served, message: bytes) -> None:
    with connected(
        echo,
        frame(HEADERS, END_HEADERS, 1, headers(ECHO)),
        frame(DATA, END_STREAM, 1, message),
    ):
        eventually(lambda: echo.handled)


def test_a_client_that_does_not_hang_up_cannot_hold_up_the_stop(echo: Served) -> None:
    address = echo.server.address
    with (
        served(UnixAddress(Path(address.text.removeprefix("unix:") + ".2"))) as stopping,
        connected(stopping, frame(HEADERS, END_HEADERS, 1, headers(ECHO))) as client,
    ):
        eventually(lambda: stopping.server.connections() == 1)
        stopping.server.stop(0)
        client.settimeout(5)
        while client.recv(4096):
            pass


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", id="HTTP/1"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="TLS"),
        pytest.param(PREFACE + b"\xff" * 100, id="frames of noise"),
        pytest.param(PREFACE + frame(HEADERS, END_HEADERS, 1, b"\xff" * 50), id="bad HPACK"),
    ],
)
def test_what_is_not_grpc_is_hung_up_on(echo: Served, noise: bytes) -> None:
    address = echo.server.address
    assert isinstance(address, UnixAddress)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(address.path))
        client.sendall(noise)
        while client.recv(4096):
            pass
