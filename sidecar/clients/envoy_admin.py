"""Envoy's admin interface, as far as ending a pod needs it: begin to drain, see what is left.

It uses the standard library alone. ``sidecar drain`` runs beside the sidecar, within the memory of
the sidecar's container, and this client takes 12 MB where the one in ``http`` would take 25.
"""

import time
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from socket import create_connection, socket
from typing import Final, NamedTuple, cast

from sidecar.errors import SourceFault
from sidecar.jose.strict_json import StrictJsonError, load_object

_DRAIN: Final = "/drain_listeners?graceful"
_STATISTICS: Final = "/stats?format=json&type=Gauges&filter=downstream_%28cx%7Crq%29_active%24"
_ANSWER_BYTES: Final = 1024 * 1024
# Not those of clients: the admin itself, and the listener of envoy/ for Prometheus and the kubelet.
_NOT_CLIENTS: Final = frozenset({"admin", "status"})


class Traffic(NamedTuple):
    """The open connections of Envoy's clients, and the requests that are under way on them."""

    connections: int
    requests: int


class EnvoyAdmin:
    """The admin interface at an IP address and port.

    Each answer is waited for as long as ``within`` says, in seconds.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    def __str__(self) -> str:
        host, port = self._address
        return (
            f"Envoy's admin at [{host}]:{port}"
            if ":" in host
            else f"Envoy's admin at {host}:{port}"
        )

    def drain(self, within: float) -> None:
        """Have Envoy ask its clients to go, and close its listeners when its drain time is over.

        To be asked again changes nothing.

        Raises:
            SourceFault: Envoy cannot be reached, or does not agree.
        """
        try:
            self._ask("POST", _DRAIN, within)
        except ConnectionRefusedError as fault:
            raise SourceFault(
                f"{self}: nothing listens there; --admin takes the address of Envoy's admin"
            ) from fault

    def traffic(self, within: float) -> Traffic | None:
        """What is left of clients; None where nothing listens any more, as Envoy has ended.

        Raises:
            SourceFault: Envoy gives no answer, or none that can be used.
        """
        try:
            body = self._ask("GET", _STATISTICS, within)
        except ConnectionRefusedError:
            return None
        try:
            return traffic_in(body)
        except ValueError as fault:
            raise SourceFault(f"{self} sent statistics that cannot be read: {fault}") from fault

    def _ask(self, method: str, target: str, within: float) -> bytes:
        """The body of an answer; raises ConnectionRefusedError, or SourceFault for all else."""
        try:
            received = _Received(self._exchange(method, target, within))
            answer = HTTPResponse(cast("socket", received))
            answer.begin()
            body = answer.read()
        except ConnectionRefusedError:
            raise
        except TimeoutError as fault:
            raise SourceFault(f"{self} gave no answer in {within:g} s") from fault
        except (OSError, HTTPException, ValueError) as fault:
            raise SourceFault(f"{self} gave no answer that is HTTP") from fault
        if answer.status != 200:
            raise SourceFault(
                f"{self} answered {answer.status} to {method} {target}; is it the admin?"
            )
        return body

    def _exchange(self, method: str, target: str, within: float) -> bytes:
        """All bytes of an answer. However they arrive, the time and their number are bounded."""
        end = time.monotonic() + within
        request = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        received = bytearray()
        with create_connection(self._address, within) as connection:
            connection.sendall(f"{request}Content-Length: 0\r\n\r\n".encode())
            while True:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                connection.settimeout(left)
                part = connection.recv(65536)
                if not part:
                    return bytes(received)
                received += part
                if len(received) > _ANSWER_BYTES:
                    raise SourceFault(f"{self} sent more than {_ANSWER_BYTES} bytes")


def traffic_in(statistics: bytes) -> Traffic:
    """Read what Envoy's ``/stats?format=json`` says of clients.

    Raises:
        ValueError: it is not what Envoy sends.
    """
    found = load_object(statistics).get("stats")
    if not isinstance(found, list):
        raise StrictJsonError("has no list of stats")
    connections = requests = 0
    for each in found:
        match each:
            case {"name": str(name), "value": int(value)}:
                kind, _, rest = name.partition(".")
                prefix, _, statistic = rest.rpartition(".")
            case _:
                continue  # histograms have no name here
        if prefix in _NOT_CLIENTS:
            continue
        if (kind, statistic) == ("http", "downstream_rq_active"):
            requests += value
        # A listener has the same number for each of its threads, too.
        elif (kind, statistic) == ("listener", "downstream_cx_active") and not _of_thread(prefix):
            connections += value
    return Traffic(connections, requests)


def _of_thread(prefix: str) -> bool:
    return prefix.rpartition(".")[2].startswith(("worker_", "main_thread"))


class _Received:
    """Bytes that were received, in the form that HTTPResponse reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _: str) -> BytesIO:
        """The bytes as a file."""
        return BytesIO(self._content)
