"""A gRPC application behind Envoy, and calls to it as a client makes them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event

import grpc

from tests.support.http1 import Address
from tests.support.ports import LOOPBACK

SERVICE = "shop.Orders"
ECHO = f"/{SERVICE}/Echo"
WATCH = f"/{SERVICE}/Watch"

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended for the client."""

    code: grpc.StatusCode
    details: str
    messages: list[bytes]


@contextmanager
def grpc_application() -> Iterator[Address]:
    """Serve ``Echo``, which sends its message back, and ``Watch``, which sends without end."""
    echo: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda message, _context: message
    )
    watch: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(_ticks)
    service = grpc.method_handlers_generic_handler(SERVICE, {"Echo": echo, "Watch": watch})
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[service])
        port = server.add_insecure_port(f"{LOOPBACK}:0")
        server.start()
        try:
            yield LOOPBACK, port
        finally:
            server.stop(None).wait()


def call(address: Address, method: str, metadata: Metadata = (), message: bytes = b"") -> Outcome:
    """Call ``method`` and read until it ends."""
    host, port = address
    messages: list[bytes] = []
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        # A unary method is a stream of one message, seen from here.
        multicallable: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
        stream = multicallable(message, metadata=metadata, timeout=30)
        with suppress(grpc.RpcError):
            messages.extend(stream)
        return Outcome(stream.code(), stream.details() or "", messages)


def _ticks(_message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    ended = Event()
    context.add_callback(ended.set)
    while not ended.wait(0.05):
        yield b"tick"
