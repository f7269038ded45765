"""The application behind Envoy: records the header lines that arrive, answers as it is told."""

import socketserver
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BufferedIOBase
from types import TracebackType
from typing import Self

from typing_extensions import override

from tests.support.http1 import Address
from tests.support.leaks import LEAKS
from tests.support.ports import LOOPBACK
from tests.support.processes import eventually


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it reached the application: one entry per header line, bytes untouched."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[bytes]:
        """Every value whose header's lower-case name is ``name``."""
        return [value for key, value in self.headers if key.lower() == name.encode()]

    @property
    def names(self) -> set[str]:
        return {key.decode("latin-1").lower() for key, _ in self.headers}


# Writes a whole response; the reader gives what follows the request, for an upgrade.
Answer = Callable[[Received, BufferedIOBase, BufferedIOBase], None]


def respond(
    status: int = 200, headers: Iterable[tuple[str, str]] = (), body: bytes = b"ok\n"
) -> Answer:
    """Answer at once."""
    lines = [f"HTTP/1.1 {status} -", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")

    def answer(request: Received, _: BufferedIOBase, writer: BufferedIOBase) -> None:
        writer.write(head if request.method == "HEAD" else head + body)

    return answer


def hold(released: threading.Event) -> Answer:
    """Answer once ``released`` is set."""
    at_last = respond()

    def answer(request: Received, reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        released.wait(30)
        at_last(request, reader, writer)

    return answer


def echo_upgraded(request: Received, reader: BufferedIOBase, writer: BufferedIOBase) -> None:
    """Switch protocols, then send back whatever comes: enough of a WebSocket for a proxy."""
    protocol = request.values("upgrade")[0]
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: %s\r\n\r\n" % protocol
    )
    while data := reader.read1(65536):
        writer.write(data)


class Upstream:
    """An HTTP/1.1 server for the length of a ``with`` block, on a loopback port of its own."""

    def __init__(self) -> None:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._received: list[Received] = []
        self._active = 0
        self._lock = threading.Lock()
        # By path; anything else gets the plain 200.
        self.answers: dict[str, Answer] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> Address:
        return LOOPBACK, self._server.server_address[1]

    def received(self, request_id: str) -> list[Received]:
        """What arrived under this ``x-request-id``: nothing, or one entry per try."""
        wanted = [request_id.encode()]
        with self._lock:
            return [
                request for request in self._received if request.values("x-request-id") == wanted
            ]

    def wait_until_idle(self, *, within: float = 10.0) -> None:
        """Return once no request is being answered, as an application does that is told to stop."""
        eventually(lambda: self._active == 0, within=within)

    def answer(self, request: Received, reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        for value in request.values("authorization"):
            LEAKS.sent(value.decode("latin-1"))
        with self._lock:
            self._received.append(request)
            self._active += 1
        try:
            self.answers.get(request.path, respond())(request, reader, writer)
        finally:
            with self._lock:
                self._active -= 1


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        super().__init__((LOOPBACK, 0), _Handler)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Envoy closing a connection early is no news."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    disable_nagle_algorithm = True

    @override
    def handle(self) -> None:
        while line := self.rfile.readline():
            method, target, _ = line.decode("latin-1").split()
            headers = tuple(self._headers())
            fields = {name.lower(): value for name, value in headers}
            if fields.get(b"transfer-encoding") == b"chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(fields.get(b"content-length", 0)))
            received = Received(method, target, headers, body)
            self.server.upstream.answer(received, self.rfile, self.wfile)

    def _headers(self) -> Iterable[tuple[bytes, bytes]]:
        while line := self.rfile.readline().rstrip(b"\r\n"):
            name, _, value = line.partition(b":")
            yield name, value.strip(b" \t")

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data
