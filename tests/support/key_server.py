"""A server of public keys, on a real socket with real TLS, that can be told to misbehave.

``publish`` says which keys are there, ``misbehave`` what is answered instead, ``behave`` ends that.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from gzip import compress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl

from tests.support.certificates import CertificateAuthority
from tests.support.ports import LOOPBACK
from tests.support.tokens import Json, SigningKey, jwks

JWKS: Final = "/keys.json"
DISCOVERY: Final = "/.well-known/openid-configuration"
_PATIENCE: Final = 10.0
_BREAK: Final = 0.05


class Connection:
    """One connection, after a request was read from it. ``sent`` counts bytes for the server."""

    def __init__(
        self,
        server: "KeyServer",
        transport: socket.socket,
        path: str,
        request_headers: Mapping[str, str],
    ) -> None:
        self.server = server
        self.path = path
        self.request_headers = request_headers
        self._transport = transport

    def send(self, data: bytes) -> None:
        self._transport.sendall(data)
        self.server.sent += len(data)

    def answer(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer; ``headers`` come on top of the usual ones or replace them."""
        lines = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.send(f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + body)

    def reset(self) -> None:
        """End the connection as a crash would."""
        self._transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.close()

    def stays_open(self) -> bool:
        """Let a moment pass; false when the server is about to stop."""
        return not self.server.stopping.wait(_BREAK)


Misbehaviour = Callable[[Connection], None]


class KeyServer:
    """Listens for the length of a ``with`` block; ``requests`` lists what it was asked.

    ``forms`` lists the parameters in the bodies of those requests, ``confirmed`` the paths for
    which it only said that the client's copy is still good.

    The certificates it can show are ``good``, ``expired`` and ``elsewhere`` (another host's), and
    ``stranger``, from an authority nobody trusts.
    """

    def __init__(self, directory: Path, *, tls: bool = True) -> None:
        self.authority = CertificateAuthority(directory)
        self.ca_file = self.authority.certificate_file
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.forms: list[dict[str, str]] = []
        self.confirmed: list[str] = []
        self.documents: dict[str, Json] = {}
        self.headers: dict[str, str] = {}
        self.sent = 0
        self.stopping = threading.Event()
        self._misbehaviour: Misbehaviour | None = None
        self._listening = socket.create_server((LOOPBACK, 0))
        self._tls = tls
        self._contexts = self._issue(directory) if tls else {}
        self._certificate = "good"
        self._threads: list[threading.Thread] = []
        self.url = f"http{'s' if tls else ''}://localhost:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(_PATIENCE)

    @property
    def jwks_url(self) -> str:
        return self.url + JWKS

    def publish(self, *keys: SigningKey, max_age: int | None = None) -> None:
        """Serve these keys, and a discovery document that names them."""
        self.documents[JWKS] = jwks(*keys)
        self.documents.setdefault(DISCOVERY, {"issuer": self.url, "jwks_uri": self.jwks_url})
        self.headers = {} if max_age is None else {"Cache-Control": f"public, max-age={max_age}"}

    def misbehave(self, misbehaviour: Misbehaviour) -> None:
        """Answer every request like this from now on."""
        self._misbehaviour = misbehaviour

    def behave(self) -> None:
        """Serve what was published again."""
        self._misbehaviour = None

    def show(self, certificate: str) -> None:
        """Show this certificate from now on."""
        self._certificate = certificate

    def demand_certificates(self) -> None:
        """Serve only clients with a certificate of the same authority from now on."""
        for context in self._contexts.values():
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)

    def _issue(self, directory: Path) -> dict[str, ssl.SSLContext]:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        self.authority.issue("good", dns="localhost", address=LOOPBACK)
        self.authority.issue("expired", dns="localhost", expires=yesterday)
        self.authority.issue("elsewhere", dns="elsewhere.example")
        other = directory / "stranger"
        other.mkdir()
        stranger = CertificateAuthority(other, "another CA")
        stranger.issue("stranger", dns="localhost")
        contexts = {
            name: self.authority.server_context(name) for name in ("good", "expired", "elsewhere")
        }
        return {**contexts, "stranger": stranger.server_context("stranger")}

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                transport, _ = self._listening.accept()
            except OSError:  # stopped
                return
            self._run(self._serve, transport)

    def _serve(self, transport: socket.socket) -> None:
        transport.settimeout(_PATIENCE)
        try:
            if self._tls:
                context = self._contexts[self._certificate]
                transport = context.wrap_socket(transport, server_side=True)
            with transport:
                path, headers, body = _request(transport)
                self.requests.append((path, headers))
                self.forms.append(dict(parse_qsl(body.decode("latin-1"))))
                connection = Connection(self, transport, path, headers)
                (self._misbehaviour or self._serve_document)(connection)
        except (OSError, EOFError):  # the client has had enough
            transport.close()

    def _serve_document(self, connection: Connection) -> None:
        document = self.documents.get(connection.path)
        if document is None:
            connection.answer(b"{}", status=404)
            return
        body = json.dumps(document).encode()
        headers = {"ETag": f'"{sha256(body).hexdigest()}"', **self.headers}
        if connection.request_headers.get("if-none-match") == headers["ETag"]:
            self.confirmed.append(connection.path)
            connection.answer(b"", status=304, headers=headers)
        else:
            connection.answer(body, headers=headers)


def _request(transport: socket.socket) -> tuple[str, dict[str, str], bytes]:
    """The path of a request, its headers by lower-case name, and its body."""
    with transport.makefile("rb") as file:
        first = file.readline().decode()
        if not first:
            raise EOFError
        headers = {}
        while line := file.readline().decode().rstrip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = file.read(int(headers.get("content-length", "0")))
    return first.split(" ")[1], headers, body


def answering(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Misbehaviour:
    """Answers this to everything."""
    return lambda connection: connection.answer(body, status=status, headers=headers)


def packed(body: bytes, coding: str = "gzip") -> Misbehaviour:
    """Answers these bytes as if they were packed like this."""
    return answering(body, headers={"Content-Encoding": coding})


def redirecting(location: str) -> Misbehaviour:
    """Sends everybody elsewhere."""
    return answering(b"", status=302, headers={"Location": location})


def endless_body(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not connection.server.stopping.is_set():
        connection.send(b" " * 65536)


def endless_headers(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n")
    while not connection.server.stopping.is_set():
        connection.send(b"X-More: and more\r\n" * 1000)


def trickle(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while connection.stays_open():
        connection.send(b" ")


def silence(connection: Connection) -> None:
    while connection.stays_open():
        pass


def stop_in_the_middle(connection: Connection) -> None:
    connection.answer(b'{"keys": [', headers={"Content-Length": "1000"})


def close_at_once(connection: Connection) -> None:
    del connection  # whose end closes it


def crash(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    connection.reset()


def speak_something_else(connection: Connection) -> None:
    connection.send(b"220 mail.example ESMTP\r\n")


HTML: Final = answering(b"<!doctype html><h1>Sign in</h1>", headers={"Content-Type": "text/html"})
EMPTY_SET: Final = answering(b'{"keys": []}')
GZIP_BOMB: Final = packed(compress(b" " * 10_000_000))
OUT_OF_ORDER: Final = answering(b'{"error": "out of order"}', status=500)
