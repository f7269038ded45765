"""What the shop's services have in common: JSON over HTTP, and who is asking, read from headers.

None of them holds a key or checks a token: the sidecar beside each has done that. All they do with
the token is to pass it on.
"""

import json
import signal
import sys
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

IDENTITY: Final = ("x-user-id", "x-user-groups", "x-user-roles", "x-user-scopes")
# What goes along with a request to the next service: for whom it is, and what logs call it.
PASSED_ON: Final = ("authorization", "x-request-id")


class Service(BaseHTTPRequestHandler):
    """Answers in JSON, and always says who it was told is asking."""

    protocol_version = "HTTP/1.1"

    def respond(self) -> None:
        """Answer the request: its method is ``command``, its path ``path``."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Any request that the sidecar has let through."""
        self.respond()

    do_POST = do_GET  # noqa: N815 - the base class looks methods up by these names

    def caller(self) -> dict[str, str]:
        """Who is asking. Nobody but the sidecar can have set these headers."""
        return {name: self.headers[name] for name in IDENTITY if name in self.headers}

    def ask(self, url: str, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """Call another service on behalf of the caller; its status and its document."""
        passed_on = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
        try:
            connection.request(method, path, headers=passed_on)
            response = connection.getresponse()
            return response.status, json.load(response)
        finally:
            connection.close()

    def answer(self, status: int, **document: object) -> None:
        """Answer the request, whose own body is of no interest here."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"caller": self.caller(), **document}).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Envoy writes the access log."""


def serve(service: type[Service], address: str) -> None:
    """Serve until SIGTERM: on a port of the loopback interface, or at ``HOST:PORT``."""
    # The first process of a container has no default for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    host, _, port = address.rpartition(":")
    ThreadingHTTPServer((host or "127.0.0.1", int(port)), service).serve_forever()
