"""The gateway that parts measure: its rules, its rings, and what its clients bring.

A request has 20 header lines, as that of ``bench.service`` has, and the gateway has as many routes.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.service import BROWSER, METHOD, TRIED, described
from tests.support.gateway_process import ISSUER, GatewayProcess, new_ring
from tests.support.ports import socket_directory
from tests.support.sidecar_process import write_json
from tests.support.tokens import claims, jwks, new_key, sign

SESSION_COOKIE = "__Host-session"
SSO_COOKIE = "sso_session"
PATH = "/area-49/1f3c9a77/items"
SSO_SESSION = "vT1x8Jm0cQp4Zr6yWk2sLb9uHd5nGf3aEo7iXqBz0Rw"

_ROUTES = 50
PARTNER = "https://partner.example"
_SCOPES = "orders:read orders:write invoices:read"

Headers = tuple[tuple[str, str], ...]
Json = dict[str, Any]


class Gateway:
    """A configuration for ``sidecar serve``, its files, and credentials of its clients.

    ``directory`` gets the files. ``introspection`` is the URL of the SSO. ``keys`` says where the
    keys of request tokens are, by default in a directory; ``reuse`` how long a token may serve,
    ``further_routes`` what there is besides the usual ones.
    """

    def __init__(
        self,
        directory: Path,
        introspection: str,
        *,
        keys: Mapping[str, object] | None = None,
        reuse: str = "0s",
        further_routes: Sequence[Json] = (),
    ) -> None:
        self.partner = new_key("ES256", "partner")
        self._numbers = itertools.count()
        others = [new_key("ES256", f"other-{number}") for number in range(TRIED)]
        write_json(directory / "partner.json", jwks(*others, self.partner))
        (directory / "secret").write_text("of-the-gateway\n")
        new_ring(directory / "sessions", "--algorithm", "A256GCM")
        self.configuration: dict[str, Any] = {
            "role": "gateway",
            "issuer": ISSUER,
            "trust": [_trust()],
            "credentials": _credentials(introspection),
            "request_tokens": {
                "keys": keys or {"directory": str(new_ring(directory / "requests"))},
                "audiences": {"orders": ["orders:read", "orders:write"], "invoices": []},
                "reuse": reuse,
            },
            "routes": [_route(number) for number in range(_ROUTES)] + [*further_routes],
        }

    def partner_token(self) -> str:
        """A partner's JWT, never seen before and good for an hour."""
        document = claims(
            issuer=PARTNER,
            audience=ISSUER,
            subject=f"customer-{next(self._numbers):08}",
            lifetime=3600,
            **_about_a_customer(),
        )
        return sign(document, self.partner)


@contextmanager
def running_gateway(
    directory: Path, keys: Mapping[str, object] | None = None
) -> Iterator[tuple[Gateway, GatewayProcess]]:
    """A gateway in a process of its own until the end of the block. It is never asked for the SSO.

    ``directory`` gets its files, ``keys`` is as for ``Gateway``.
    """
    gateway = Gateway(directory, "http://127.0.0.1:9/", keys=keys)
    with (
        socket_directory() as sockets,
        GatewayProcess(gateway.configuration, directory, sockets) as process,
    ):
        yield gateway, process


def with_bearer(token: str) -> Headers:
    """The header lines of a request with a JWT."""
    return (*BROWSER.items(), ("authorization", f"Bearer {token}"))


def with_cookie(name: str, value: str) -> Headers:
    """The header lines of a request with one more cookie, and one more line for 20 of them."""
    cookies = f"{BROWSER['cookie']}; {name}={value}"
    return (*(BROWSER | {"cookie": cookies}).items(), ("dnt", "1"))


def check_request(headers: Headers) -> bytes:
    """A request as Envoy describes it, with ``encode_raw_headers``."""
    return described([(name, value.encode()) for name, value in headers], path=PATH)


def introspected() -> dict[str, object]:
    """What the SSO says about its session."""
    return {
        "active": True,
        "iss": "https://sso.example",
        "sub": "customer-00000000",
        "exp": int(time.time()) + 3600,
        **_about_a_customer(),
    }


def _about_a_customer() -> dict[str, Any]:
    return {
        "client_id": "web-shop",
        "scope": _SCOPES,
        "auth_time": int(time.time()),
        "acr": "urn:shop:strong",
        "amr": ["pwd", "otp"],
        "groups": ["gold", "newsletter", "early-access"],
        "roles": ["customer", "beta"],
    }


def _trust() -> dict[str, Any]:
    return {
        "name": "partner",
        "kind": "external",
        "issuer": PARTNER,
        "audiences": [ISSUER],
        "algorithms": ["ES256"],
        "types": ["at+jwt"],
        "keys": {"file": {"path": "partner.json"}},
    }


def _credentials(introspection: str) -> list[dict[str, Any]]:
    asked = {
        "url": introspection,
        "allow_http": True,
        "client": {"id": "gateway", "secret_file": "secret"},
        "cache": "5m",  # longer than any part takes
    }
    session = {"keys": {"directory": "sessions"}, "issued_for": ["partners"], "renew": "20m"}
    return [
        {"name": "sso", "cookie": SSO_COOKIE, "introspection": asked, **_brings()},
        {"name": "session", "cookie": SESSION_COOKIE, "session": session},
        {
            "name": "partners",
            "header": "authorization",
            "scheme": "Bearer",
            "jwt": {"trust": ["partner"]},
            **_brings(),
        },
    ]


def _brings() -> dict[str, Any]:
    """What a credential may bring, anew: an object that stands twice would become an anchor."""
    claims = ["acr", "amr", "auth_time"]
    return {"attributes": {"roles": ["*"], "groups": ["*"], "claims": claims}}


def _route(number: int) -> dict[str, Any]:
    return {
        "name": f"route-{number}",
        "match": {"methods": [METHOD], "path": f"/area-{number}/{{id}}/items"},
        "allow": {"scopes": ["orders:read"], "any_role": ["customer", "support"]},
        "token": {"audiences": ["orders", "invoices"]},
    }
