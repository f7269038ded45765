"""The service all parts measure: its rules, its keys, its tokens, and requests to it.

A request has 20 header lines and a token of about 700 bytes; the service has 50 routes and gets
five identity headers, unless a part is about these numbers.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sidecar.wire.grpc._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from tests.support.sidecar_process import write_json
from tests.support.tokens import SigningKey, claims, jwks, new_key, sign

HOST = "orders.shop.internal"
# How many keys are tried for a token without a kid, where the configuration says nothing.
TRIED = 4
METHOD = "GET"
IDENTITY = {
    "x-user-id": "sub",
    "x-user-groups": "groups",
    "x-user-roles": ["realm_access", "roles"],
    "x-user-scopes": "scope",
    "x-user-tenant": "tenant",
}
BROWSER = {
    "accept": "application/json, text/plain, */*",
    "accept-encoding": "gzip, deflate, br",
    "accept-language": "de-DE,de;q=0.9,en;q=0.8",
    "cache-control": "no-cache",
    "cookie": "theme=dark; consent=all; visited=2026-11-01",
    "origin": "https://www.shop.example",
    "pragma": "no-cache",
    "referer": "https://www.shop.example/account/orders",
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-site",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    "x-app-version": "4.12.0",
    "x-client-region": "eu-central",
    "x-correlation-id": "5f0c1f7e-9d2c-4a55-8f0c-7d7c1f2f9a10",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-proto": "https",
    "x-request-id": "0b7e3c52-6a0e-4f0f-9c1d-2d1c9c1b7a55",
}


class Service:
    """A configuration for ``sidecar serve``, its key files, and who signs tokens for it.

    Tokens come from the last of ``issuers``, which have a trust entry each, or from the last of
    ``issuers_of_entry``, if any, which have one together. They are signed with the last of its
    ``keys``.
    """

    def __init__(  # noqa: PLR0913 - each is a way to grow
        self,
        directory: Path,
        *,
        routes: int = 50,
        issuers: int = 1,
        issuers_of_entry: int = 0,
        keys: int = 1,
        algorithms: Sequence[str] = ("ES256",),
    ) -> None:
        signers = [new_key(algorithm, f"bench-{algorithm}") for algorithm in algorithms]
        others = [new_key("ES256", f"other-{number}") for number in range(keys - len(signers))]
        self.keys = {key.algorithm: key for key in signers}
        self.path = f"/area-{routes - 1}/1f3c9a77/items"
        self.issuer = _issuer(issuers - 1)
        self._numbers = itertools.count()
        for number in range(issuers - 1):
            write_json(directory / f"{number}.json", jwks(new_key("ES256", f"only-{number}")))
        write_json(directory / f"{issuers - 1}.json", jwks(*others, *signers))
        trust = [_trust(number) for number in range(issuers)]
        headers: dict[str, Any] = dict(IDENTITY)
        if issuers_of_entry:
            headers["x-user-issuer"] = "iss"
            self.issuer = _issuer(issuers_of_entry - 1)
            del trust[-1]["issuer"]
            trust[-1]["issuers"] = [_issuer(number) for number in range(issuers_of_entry)]
        self.configuration: dict[str, Any] = {
            "role": "sidecar",
            "trust": trust,
            "identity": {"headers": headers},
            "routes": [_route(number) for number in range(routes)],
        }

    def token(self, algorithm: str = "ES256", *, key: SigningKey | None = None) -> str:
        """A token never seen before, good for an hour."""
        number = next(self._numbers)
        document = claims(
            issuer=self.issuer,
            audience=["orders", "invoices"],
            subject=f"customer-{number:08}",
            lifetime=3600,
            client_id="web-shop",
            jti=f"9c1d2d1c-6a0e-4f0f-{number:012}",
            txn=f"5f0c1f7e9d2c4a558f0c{number:012}",
            scope="orders:read orders:write invoices:read",
            tenant="shop-west",
            groups=["gold", "newsletter", "early-access"],
            realm_access={"roles": ["customer", "beta"]},
        )
        return sign(document, key or self.keys[algorithm])

    def headers(self, token: str) -> tuple[tuple[str, str], ...]:
        """The 20 header lines of a request."""
        return (*BROWSER.items(), ("authorization", f"Bearer {token}"))

    def check_request(self, token: str) -> bytes:
        """The same request as Envoy describes it, with ``encode_raw_headers``."""
        lines = [(name, value.encode()) for name, value in self.headers(token)]
        return described(lines, path=self.path)


def described(
    headers: Iterable[tuple[str, bytes]], *, path: str, host: str = HOST, method: str = METHOD
) -> bytes:
    """A request as Envoy describes it, with ``encode_raw_headers``."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host = method, path, host
    for name, value in headers:
        http.header_map.headers.add(key=name, raw_value=value)
    return request.SerializeToString()


def _issuer(number: int) -> str:
    return f"https://gateway-{number}.shop.internal"


def _trust(number: int) -> dict[str, Any]:
    return {
        "name": f"gateway-{number}",
        "kind": "request",
        "issuer": _issuer(number),
        "audiences": ["orders"],
        "algorithms": ["ES256", "RS256", "Ed25519"],
        "roles_claim": ["realm_access", "roles"],
        "keys": {"file": {"path": f"{number}.json"}},
    }


def _route(number: int) -> dict[str, Any]:
    return {
        "name": f"route-{number}",
        "match": {"methods": [METHOD], "path": f"/area-{number}/{{id}}/items"},
        "allow": {"scopes": ["orders:read"], "any_role": ["customer", "support"]},
    }
