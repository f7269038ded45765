"""What a hostile client can do with HTTP/1.1."""

import re
import time
from collections.abc import Callable
from itertools import cycle
from typing import Final

from tests.support.hostile import Attack, Fields
from tests.support.hostile.target import Target, received

_AT_ONCE: Final = 10
_WAITING: Final = 100  # requests whose answers have not come
_CONNECTIONS: Final = 50  # of the kind that holds many and sends little

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def _http1_head(target: Target, fields: Fields) -> bytes:
    path = next((value for name, value in fields if name == ":path"), "/orders/1")
    lines = [f"GET {path} HTTP/1.1", f"host: {target.host}"]
    lines += [f"{name}: {value}" for name, value in fields if not name.startswith(":")]
    return "\r\n".join([*lines, "", ""]).encode()


def _pipelined(target: Target, attack: Attack) -> None:
    """Requests of HTTP/1.1 that do not wait for answers, ten at a time."""
    heads = cycle([_http1_head(target, [*attack.repeated, *fresh]) for fresh in attack.fresh])
    with target.connect() as connection:
        waiting = 0
        for away in target.paced(max(1, attack.per_second // 10)):
            if not away and waiting < _WAITING:
                connection.sendall(b"".join(next(heads) for _ in range(10)))
                target.sent += 10
                waiting += 10
            answers = _STATUS_LINE.findall(received(connection, away) or b"")
            target.statuses.update(answer.decode() for answer in answers)
            waiting -= len(answers)


def _pipelined_unread(target: Target, attack: Attack) -> None:
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


def _trickled(target: Target, attack: Attack) -> None:
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


WAYS: Final[dict[str, Callable[[Target, Attack], None]]] = {
    "pipelined": _pipelined,
    "pipelined, unread": _pipelined_unread,
    "trickled": _trickled,
}
