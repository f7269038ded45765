"""A gRPC server for the length of a ``with`` block, and a plain grpc client of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import grpc

from sidecar.wire.grpc.calls import Call, Handler, Limits
from sidecar.wire.grpc.server import GrpcServer, new_server
from sidecar.wire.grpc.sockets import Address
from tests.support.processes import eventually

ECHO = "/test.Echo/Echo"
PARK = "/test.Park/Park"
DEFAULT_LIMITS = Limits()


@dataclass
class Served:
    """What a test sees of a server: its answers, and what it reported of each call."""

    server: GrpcServer
    channel: grpc.Channel
    parked: list[Call]
    handled: list[tuple[str, str]] = field(default_factory=list)

    def method(self, name: str) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
        return unary(self.channel, name)

    def echo(self, body: bytes) -> bytes:
        return self.method(ECHO)(body, timeout=5)

    def park(self) -> "grpc._CallFuture[bytes]":
        """Send a call that nobody answers, and return once the server holds it."""
        held = len(self.parked)
        future = self.method(PARK).future(b"parked", timeout=30)
        eventually(lambda: len(self.parked) > held)
        return future

    def wait_for(self, *handled: tuple[str, str]) -> None:
        """Return once these calls are over, in any order, and no others."""
        eventually(lambda: sorted(self.handled) == sorted(handled))


@contextmanager
def served(
    address: Address, handlers: Mapping[str, Handler] | None = None, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Served]:
    """Serve ECHO, PARK and ``handlers``. On the way out the server must stop at once."""
    handled: list[tuple[str, str]] = []
    parked: list[Call] = []
    methods: dict[str, Handler] = {ECHO: lambda call: call.reply(call.body), PARK: parked.append}
    server = new_server(
        address,
        methods | dict(handlers or {}),
        handled=lambda method, code: handled.append((method, code)),
        limits=limits,
    )
    server.start()
    try:
        with grpc.insecure_channel(server.address.text) as channel:
            yield Served(server, channel, parked, handled)
    finally:
        server.stop(0)


def unary(channel: grpc.Channel, method: str) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    """A method of bytes."""
    return channel.unary_unary(method)


def status_of(error: grpc.RpcError) -> grpc.StatusCode:
    """The status a call failed with."""
    return cast("grpc.Call", error).code()
