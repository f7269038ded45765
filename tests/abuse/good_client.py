"""The client whose requests must not fail: it asks at a fixed rate, and notes how long it takes."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from ssl import SSLContext
from statistics import median, quantiles
from typing import Final

from tests.support.http1 import Address, Connection, Field

PER_SECOND: Final = 100
CONNECTIONS: Final = 6
# Seconds until an answer counts as one that did not come.
TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """How requests were answered: what the others than 2xx got instead, and seconds each took."""

    failures: tuple[str, ...]
    seconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        return median(self.seconds)

    @property
    def p99(self) -> float:
        return quantiles(self.seconds, n=100)[98]

    def compared_with(self, quiet: "Served") -> str:
        """Both latencies next to those of a quiet server."""
        return (
            f"p50 {quiet.p50 * 1000:.1f} -> {self.p50 * 1000:.1f} ms,"
            f" p99 {quiet.p99 * 1000:.1f} -> {self.p99 * 1000:.1f} ms,"
            f" {self.p99 / quiet.p99:.1f} times"
        )


@dataclass(frozen=True, slots=True)
class GoodClient:
    """Asks on a few connections, like a browser. ``headers`` is asked anew for each request."""

    address: Address
    headers: Callable[[], Sequence[Field]]
    tls: SSLContext | None = None

    def ask(self, seconds: float) -> Served:
        """Ask for so long. A request that had to wait for its turn counts from when it was due."""
        began, turns = time.monotonic(), range(int(PER_SECOND * seconds))
        due = [began + turn / PER_SECOND for turn in turns]
        with ThreadPoolExecutor(CONNECTIONS) as connections:
            parts = [due[first::CONNECTIONS] for first in range(CONNECTIONS)]
            outcomes = list(chain.from_iterable(connections.map(self._ask, parts)))
        failures = tuple(failure for failure, _ in outcomes if failure)
        return Served(failures, tuple(latency for _, latency in outcomes))

    def _ask(self, turns: Sequence[float]) -> list[tuple[str | None, float]]:
        """Ask on one connection, whenever it is time; how each request failed, and its seconds."""
        outcomes = []
        connection = self._connect()
        for due in turns:
            headers = self.headers()
            time.sleep(max(0.0, due - time.monotonic()))
            failure = None
            try:
                status = connection.request("GET", "/orders/1", headers).status
            except OSError as error:
                failure = repr(error)
                connection.close()
                connection = self._connect()
            else:
                failure = None if 200 <= status < 300 else str(status)
            outcomes.append((failure, time.monotonic() - due))
        connection.close()
        return outcomes

    def _connect(self) -> Connection:
        return Connection(self.address, tls=self.tls, timeout=TIMEOUT)
