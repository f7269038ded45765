"""A raw HTTP/1.1 client: what a test writes is what goes over the wire, odd bytes included."""

import json
import socket
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

from tests.support.leaks import LEAKS

Address = tuple[str, int]
Field = tuple[str | bytes, str | bytes]

HOST = "orders.shop.internal"
_CREDENTIALS = ("authorization", "cookie", "txn-token", "sec-websocket-protocol")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it arrived: names in lower case, one entry per field line."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """The one value of ``name``, or None. Two are a failure of the test."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} appears {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection, good for any number of requests until one side closes it."""

    def __init__(
        self, address: Address, *, tls: ssl.SSLContext | None = None, timeout: float = 15.0
    ) -> None:
        plain = socket.create_connection(address, timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(plain, server_hostname=HOST) if tls else plain
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def request(
        self,
        method: str = "GET",
        target: str | bytes = "/",
        headers: Iterable[Field] = (),
        body: bytes = b"",
    ) -> Response:
        """Send one request, wait for its response."""
        self.send(method, target, headers, body)
        return self.receive(body_follows=method != "HEAD")

    def send(
        self,
        method: str = "GET",
        target: str | bytes = "/",
        headers: Iterable[Field] = (),
        body: bytes = b"",
    ) -> None:
        """Send one request. ``Host`` and ``Content-Length`` are added where they are missing."""
        fields = [(_bytes(name), _bytes(value)) for name, value in headers]
        names = {name.lower() for name, _ in fields}
        _note(fields, _CREDENTIALS)
        if b"host" not in names:
            fields.insert(0, (b"Host", HOST.encode()))
        if body and b"content-length" not in names:
            fields.append((b"Content-Length", str(len(body)).encode()))
        lines = [b"%s %s HTTP/1.1" % (method.encode(), _bytes(target))]
        lines += [b"%s: %s" % field for field in fields]
        self.socket.sendall(b"\r\n".join([*lines, b"", body]))

    def receive(self, *, body_follows: bool = True) -> Response:
        """Read one response. That of an upgrade (101) leaves the connection to ``read``."""
        status_line = self._reader.readline()
        if not status_line:
            raise ConnectionResetError("closed before a response came")
        status = int(status_line.split()[1])
        headers = []
        while line := self._reader.readline().strip():
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        _note(headers, ("set-cookie",))
        fields = dict(headers)
        if status < 200 or status in {204, 304} or not body_follows:
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        elif "content-length" in fields:
            body = self._reader.read(int(fields["content-length"]))
        else:
            body = self._reader.read()
        if status >= 400:
            LEAKS.look(f"the answer {status}", f"{headers} {body.decode('latin-1')}")
        return Response(status, tuple(headers), body)

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes of what follows; empty once the other side closed."""
        return self._reader.read1(size)

    def _chunk(self) -> bytes:
        line = self._reader.readline()
        if not line:
            raise ConnectionResetError("closed in the middle of a body")
        size = int(line, 16)
        data = self._reader.read(size)
        self._reader.readline()
        return data


def request(
    address: Address,
    method: str = "GET",
    target: str | bytes = "/",
    headers: Iterable[Field] = (),
    body: bytes = b"",
    *,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """One request on a connection of its own."""
    with Connection(address, tls=tls) as connection:
        return connection.request(method, target, headers, body)


def _note(fields: Iterable[Field], names: Collection[str]) -> None:
    for name, value in fields:
        if _bytes(name).decode("latin-1").lower() in names:
            LEAKS.sent(_bytes(value).decode("latin-1"))


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text
