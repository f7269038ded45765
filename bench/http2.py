"""A small HTTP/2 client: asks one prepared request after another and times each answer.

h2load sends the same request again and again; here every request may carry a token of its own.
Just enough of RFC 9113 and RFC 7541 for servers that are known: no header is ever compressed.
"""

import math
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.http2_frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LARGEST_WINDOW,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Fields,
    block,
    frame,
)

_STATUS_200 = b"\x88"  # RFC 7541 appendix A, index 8


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes over the wire, but for the number of its stream."""

    block: bytes
    body: bytes = b""

    @classmethod
    def get(cls, host: str, path: str, headers: Fields) -> Self:
        """Ask a web server."""
        pseudo = ((":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path))
        return cls(block([*pseudo, *headers]))

    @classmethod
    def grpc(cls, method: str, message: bytes) -> Self:
        """Call a gRPC method, with the time-out Envoy sets for a check."""
        pseudo = (
            *((":method", "POST"), (":scheme", "http")),
            *((":authority", "localhost"), (":path", method)),
        )
        headers = (("te", "trailers"), ("content-type", "application/grpc"))
        timeout = ("grpc-timeout", "500m")
        body = b"\0" + struct.pack(">I", len(message)) + message
        return cls(block([*pseudo, *headers, timeout]), body)


@dataclass(slots=True)
class Answer:
    """What came back: the seconds it took, whether its HTTP status was 200, and its body."""

    seconds: float
    good: bool = False
    body: bytes = b""


class Connection:
    """One connection over a Unix socket or to a host and port."""

    def __init__(self, address: Path | tuple[str, int]) -> None:
        if isinstance(address, Path):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(str(address))
        else:
            self._socket = socket.create_connection(address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._next_stream = 1
        self._send_window = DEFAULT_WINDOW
        # By stream: until it is answered, `seconds` is when it was due.
        self._open: dict[int, Answer] = {}
        self._answered: list[Answer] = []
        more = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, more))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(
        self, requests: Sequence[Request], *, in_flight: int = 1, per_second: float = math.inf
    ) -> list[Answer]:
        """Send the requests, at most ``in_flight`` at once, and return the answers as they come.

        With ``per_second`` a request that had to wait for its turn counts from when it was due.
        """
        began = time.perf_counter()
        self._answered = []
        sent = 0
        while len(self._answered) < len(requests):
            now = time.perf_counter()
            due = began + sent / per_second
            free = sent < len(requests) and len(self._open) < in_flight
            if free and due <= now:
                self._send(requests[sent], now if math.isinf(per_second) else due)
                sent += 1
            else:
                self._receive(due - now if free else 10.0)
        return self._answered

    def _send(self, request: Request, since: float) -> None:
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        while len(request.body) > self._send_window:
            self._receive(10.0)
        self._send_window -= len(request.body)
        self._open[stream] = Answer(since)
        flags = END_HEADERS if request.body else END_HEADERS | END_STREAM
        frames = frame(HEADERS, flags, stream, request.block)
        if request.body:
            frames += frame(DATA, END_STREAM, stream, request.body)
        self._socket.sendall(frames)

    def _receive(self, patience: float) -> None:
        """Read what is there, or comes within ``patience`` seconds."""
        if not select.select([self._socket], [], [], patience)[0]:
            if patience >= 10.0:
                raise TimeoutError(f"{len(self._open)} requests are not answered")
            return
        received = self._socket.recv(262_144)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        data = self._unread + received
        at = 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3])
            end = at + 9 + length
            if end > len(data):
                break
            self._frame(data[at + 3], data[at + 4], data[at + 5 : at + 9], data[at + 9 : end])
            at = end
        self._unread = data[at:]

    def _frame(self, kind: int, flags: int, number: bytes, payload: bytes) -> None:
        stream = int.from_bytes(number)
        answer = self._open.get(stream)
        if kind == SETTINGS and not flags & ACK:
            self._socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._send_window += int.from_bytes(payload)
        elif kind == GOAWAY:
            raise ConnectionResetError("the server sent GOAWAY")
        if answer is None:
            return
        if kind == HEADERS and payload.startswith(_STATUS_200):
            answer.good = True
        elif kind == DATA:
            answer.body += payload
        if kind == RST_STREAM:
            answer.good = False
        if kind == RST_STREAM or (kind in {DATA, HEADERS} and flags & END_STREAM):
            answer.seconds = time.perf_counter() - answer.seconds
            self._answered.append(self._open.pop(stream))
