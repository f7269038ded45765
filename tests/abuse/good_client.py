"""The client whose requests must not fail: it asks at a fixed rate, and notes how long it takes."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from ssl import SSLContext
from statistics import median, quantiles
from typing import Final

from tests.support.http1 import Address, Connection, Field

PER_SECOND: Final = 100
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


@dataclass(frozen=True, slots=True)
class GoodClient:
    """Asks on one connection. ``headers`` is asked anew for each request."""

    address: Address
    headers: Callable[[], Sequence[Field]]
    tls: SSLContext | None = None

    def ask(self, seconds: float) -> Served:
        """Ask for so long. A request that had to wait for its turn counts from when it was due."""
        failures: list[str] = []
        latencies: list[float] = []
        connection = self._connect()
        began = time.monotonic()
        for turn in range(int(PER_SECOND * seconds)):
            headers = self.headers()
            due = began + turn / PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                status = connection.request("GET", "/orders/1", headers).status
            except OSError as error:
                failures.append(repr(error))
                connection.close()
                connection = self._connect()
            else:
                if not 200 <= status < 300:
                    failures.append(str(status))
            latencies.append(time.monotonic() - due)
        with closing(connection):
            return Served(tuple(failures), tuple(latencies))

    def _connect(self) -> Connection:
        return Connection(self.address, tls=self.tls, timeout=TIMEOUT)
