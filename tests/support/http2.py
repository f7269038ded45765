"""Raw HTTP/2: a client that sends what no library would, and an application that keeps frames.

Just enough of RFC 9113 for programs that are known; what the other side compresses is not read.
"""

import socket
import socketserver
import ssl
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

from typing_extensions import override

from bench.http2 import block, frame
from tests.support.http1 import HOST, Address
from tests.support.ports import LOOPBACK

DATA: Final = 0
HEADERS: Final = 1
_RST_STREAM, _SETTINGS, _PING, _GOAWAY = 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STREAM: Final = 1

Fields = Iterable[tuple[str, str]]


def fields(method: str, path: str, authority: str, headers: Fields = ()) -> list[tuple[str, str]]:
    """The fields of an ordinary request."""
    return [
        *((":method", method), (":scheme", "http"), (":authority", authority), (":path", path)),
        *headers,
    ]


def request(
    address: Address,
    head: Fields,
    *,
    body: bytes = b"",
    trailers: Fields | None = None,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """Send one request on a connection of its own, and return the body of its response.

    Raises:
        ConnectionResetError: the server resets the stream or closes the connection instead.
    """
    plain = socket.create_connection(address, 15)
    with tls.wrap_socket(plain, server_hostname=HOST) if tls else plain as connection:
        ends = not body and trailers is None
        sent = _PREFACE + frame(_SETTINGS, 0, 0)
        sent += frame(HEADERS, _END_HEADERS | (_END_STREAM if ends else 0), _STREAM, block(head))
        if body:
            sent += frame(DATA, _END_STREAM if trailers is None else 0, _STREAM, body)
        if trailers is not None:
            sent += frame(HEADERS, _END_HEADERS | _END_STREAM, _STREAM, block(trailers))
        connection.sendall(sent)
        received = b""
        for kind, flags, stream, payload in _frames(connection):
            if kind == _GOAWAY or (kind == _RST_STREAM and stream == _STREAM):
                break
            if kind == DATA:
                received += payload
            if kind in {DATA, HEADERS} and stream == _STREAM and flags & _END_STREAM:
                return received
    raise ConnectionResetError("the server does not answer this request")


@contextmanager
def application(arrived: list[int]) -> Iterator[Address]:
    """Serve HTTP/2, answer every request with 200, and add the kinds of its frames to a list."""

    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            self.request.sendall(frame(_SETTINGS, 0, 0))
            self.request.recv(len(_PREFACE), socket.MSG_WAITALL)
            for kind, flags, stream, _ in _frames(self.request):
                if kind in {DATA, HEADERS}:
                    arrived.append(kind)
                    if flags & _END_STREAM:
                        answer = frame(HEADERS, _END_HEADERS | _END_STREAM, stream, b"\x88")
                        self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server((LOOPBACK, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield LOOPBACK, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame until the other side closes."""
    with connection.makefile("rb") as reader:
        while len(head := reader.read(9)) == 9:
            kind, flags, stream = struct.unpack(">xxxBBI", head)
            payload = reader.read(int.from_bytes(head[:3]))
            if kind in {_SETTINGS, _PING} and not flags & _ACK:
                connection.sendall(frame(kind, _ACK, 0, payload if kind == _PING else b""))
            yield kind, flags, stream, payload
