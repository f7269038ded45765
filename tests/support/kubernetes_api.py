"""A simulated Kubernetes API server: real TLS and real paths, as much as service accounts need."""

import json
import secrets
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from tests.support import tokens
from tests.support.certificates import CertificateAuthority
from tests.support.ports import LOOPBACK
from tests.support.tokens import Json, SigningKey, jwks, new_key

ISSUER = "https://kubernetes.default.svc.cluster.local"
JWKS = "/openid/v1/jwks"


class KubernetesApi:
    """The API server of a cluster of one, for the length of a ``with`` block.

    ``discoverers`` and ``reviewers`` are the subjects that may read the issuer's keys and review
    tokens, as role bindings would say. ``requested`` lists the paths that were asked for.
    """

    def __init__(self, directory: Path) -> None:
        authority = CertificateAuthority(directory)
        authority.issue("api-server", dns="localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "api-server.crt", directory / "api-server.key")
        self.ca_file = authority.certificate_file
        self.keys: list[SigningKey] = [new_key("RS256", "cluster-1")]
        self.discoverers: set[str] = set()
        self.reviewers: set[str] = set()
        self.requested: list[str] = []
        self._alive: dict[str, Json] = {}
        self._server = _Server(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

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
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}"

    def new_token(self, account: str, *, audience: str = ISSUER, lifetime: float = 3600) -> str:
        """A token as the kubelet projects it; ``account`` is ``namespace:name``."""
        namespace, name = account.split(":")
        private: Json = {
            "kubernetes.io": {
                "namespace": namespace,
                "pod": {"name": f"{name}-0", "uid": f"uid of {name}-0"},
                "serviceaccount": {"name": name, "uid": f"uid of {account}"},
            }
        }
        claims = tokens.claims(
            issuer=ISSUER,
            audience=[audience],
            subject=f"system:serviceaccount:{account}",
            lifetime=lifetime,
            jti=secrets.token_hex(16),
            **private,
        )
        token = tokens.sign(claims, self.keys[-1], typ=None)
        self._alive[token] = claims
        return token

    def delete_pod_of(self, token: str) -> None:
        """From now on the token is no good, though it has not expired."""
        del self._alive[token]

    def answer(self, path: str, bearer: str, document: Json) -> tuple[int, Json]:
        self.requested.append(path)
        subject = self._authenticated(bearer, [ISSUER]).get("sub")
        if subject is None:
            return _status(401, "Unauthorized")
        match path:
            case "/openid/v1/jwks" if subject in self.discoverers:
                return 200, jwks(*self.keys)
            case "/.well-known/openid-configuration" if subject in self.discoverers:
                # As outsiders would reach it, if anybody does.
                return 200, {"issuer": ISSUER, "jwks_uri": f"https://192.0.2.1{JWKS}"}
            case "/apis/authentication.k8s.io/v1/tokenreviews" if subject in self.reviewers:
                return 201, {**document, "status": self._review(document["spec"])}
        return _status(403, f'User "{subject}" cannot access path "{path}"')

    def _review(self, spec: Json) -> Json:
        claims = self._authenticated(spec["token"], spec.get("audiences") or [ISSUER])
        if not claims:
            return {"authenticated": False, "error": "token is not valid"}
        account = claims["kubernetes.io"]["serviceaccount"]
        user = {
            "username": claims["sub"],
            "uid": account["uid"],
            "groups": ["system:serviceaccounts", "system:authenticated"],
        }
        return {"authenticated": True, "user": user, "audiences": claims["aud"]}

    def _authenticated(self, token: str, audiences: list[str]) -> Json:
        """The claims of a token that is alive and meant for one of these; else nothing."""
        claims = self._alive.get(token, {"aud": [], "exp": 0})
        alive = time.time() < claims["exp"]
        return claims if alive and not set(audiences).isdisjoint(claims["aud"]) else {}


def _status(code: int, message: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "apiVersion": "v1", "message": message, "code": code}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: KubernetesApi, context: ssl.SSLContext) -> None:
        self.api = api
        super().__init__((LOOPBACK, 0), _Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust the certificate is part of a test."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        document: Any = json.loads(self.rfile.read(length) or b"{}")
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status, answer = self.server.api.answer(self.path, bearer, document)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "public, max-age=3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server calls

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Tests look at ``requested``."""
