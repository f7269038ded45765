"""A server in the sidecar's place that does what a sidecar never should."""

import socketserver
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import grpc
from typing_extensions import override

# Bytes of a CheckRequest in, bytes of a CheckResponse out.
Check = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def grpc_server(socket: Path, check: Check) -> Iterator[None]:
    """Answer every Check on the Unix socket with ``check``, no message parsed or built."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(check)
    service = grpc.method_handlers_generic_handler(
        "envoy.service.auth.v3.Authorization", {"Check": handler}
    )
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads, handlers=[service])
        server.add_insecure_port(f"unix:{socket}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


@contextmanager
def raw_server(socket: Path, answer: bytes) -> Iterator[None]:
    """Send every connection ``answer``, whatever it asks, and close it."""

    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingUnixStreamServer(str(socket), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            socket.unlink()
