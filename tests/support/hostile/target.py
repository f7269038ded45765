"""Whom a hostile client attacks, and for how long."""

import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.http1 import Address


@dataclass
class Target:
    """Whom to attack, until when (on the monotonic clock), and an account of it."""

    address: Address
    host: str
    context: ssl.SSLContext | None
    until: float
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    closed: int = 0

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


def received(connection: socket.socket, patience: float) -> bytes | None:
    """What is there, or comes within so many seconds; None for nothing."""
    pending = isinstance(connection, ssl.SSLSocket) and connection.pending()
    if not pending and not select.select([connection], [], [], patience)[0]:
        return None
    data = connection.recv(262_144)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data
