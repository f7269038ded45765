"""The orders service of a small shop. It holds no key and checks no token: it reads headers.

``python -m examples.shop.orders PORT`` serves on loopback and answers with what it was told about
the caller.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

IDENTITY: Final = ("x-user-id", "x-user-groups", "x-user-roles", "x-user-scopes")


class Orders(BaseHTTPRequestHandler):
    """Answers every request with its path and the identity it came with."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Any path."""
        identity = {name: values for name in IDENTITY if (values := self.headers.get_all(name))}
        body = json.dumps({"path": self.path, "identity": identity}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class looks methods up by these names

    def log_message(self, format: str, *args: object) -> None:
        """Envoy writes the access log."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Orders).serve_forever()
