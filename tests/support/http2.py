"""Raw HTTP/2: a client that sends what no library would, and an application that keeps frames.

Just enough of RFC 9113 for programs that are known; what the other side compresses is not read.
"""

import socket
import socketserver
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

from typing_extensions import override

from tests.support.http1 import HOST, Address
from tests.support.http2_frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Fields,
    block,
    frame,
)
from tests.support.ports import LOOPBACK

_STREAM: Final = 1


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
        sent = PREFACE + frame(SETTINGS, 0, 0)
        sent += frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), _STREAM, block(head))
        if body:
            sent += frame(DATA, END_STREAM if trailers is None else 0, _STREAM, body)
        if trailers is not None:
            sent += frame(HEADERS, END_HEADERS | END_STREAM, _STREAM, block(trailers))
        connection.sendall(sent)
        received = b""
        for kind, flags, stream, payload in _frames(connection):
            if kind == GOAWAY or (kind == RST_STREAM and stream == _STREAM):
                break
            if kind == DATA:
                received += payload
            if kind in {DATA, HEADERS} and stream == _STREAM and flags & END_STREAM:
                return received
    raise ConnectionResetError("the server does not answer this request")


@contextmanager
def application(arrived: list[int]) -> Iterator[Address]:
    """Serve HTTP/2, answer every request with 200, and add the kinds of its frames to a list."""

    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            self.request.sendall(frame(SETTINGS, 0, 0))
            self.request.recv(len(PREFACE), socket.MSG_WAITALL)
            for kind, flags, stream, _ in _frames(self.request):
                if kind in {DATA, HEADERS}:
                    arrived.append(kind)
                    if flags & END_STREAM:
                        answer = frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x88")
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
            if kind in {SETTINGS, PING} and not flags & ACK:
                connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            yield kind, flags, stream, payload
