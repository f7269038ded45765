"""Steady traffic from a few clients, and an account of every request that went wrong."""

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.support.http1 import Address, Connection, Field
from tests.support.processes import eventually

# What one request carries. Asked anew for each, so that tokens do not grow old.
Headers = Callable[[], Sequence[Field]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that ended with ``what`` instead of a 200, and when."""

    at: float
    what: str


@dataclass
class Load:
    """Keep-alive clients that ask one after another for the length of a ``with`` block.

    They behave like a load balancer's: one whose connection is to be closed goes to another pod.
    """

    address: Address
    target: str
    headers: Headers
    clients: int = 4
    tls: ssl.SSLContext | None = None
    answered: int = 0
    failures: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client) for _ in range(self.clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for(self.clients * 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, *, within: float = 20.0) -> None:
        """Return once this many more requests have been answered."""
        goal = self.answered + more
        eventually(lambda: self.answered >= goal, within=within)

    @property
    def over(self) -> bool:
        """Whether every client has gone to another pod."""
        return not any(thread.is_alive() for thread in self._threads)

    def _client(self) -> None:
        while not self._stopping.is_set():
            try:
                with Connection(self.address, tls=self.tls) as connection:
                    self._ask_until_closed(connection)
            except OSError as error:
                self._count(repr(error))
            else:
                return

    def _ask_until_closed(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            response = connection.request("GET", self.target, self.headers())
            self._count(None if response.status == 200 else str(response.status))
            if response.header("connection") == "close":
                return

    def _count(self, failure: str | None) -> None:
        with self._lock:
            self.answered += 1
            if failure:
                self.failures.append(Failure(time.monotonic(), failure))
