"""The edge of the shop: its gateway behind the edge Envoy, and what clients and services get there.

Two services are behind it, orders and payments. Each is at its own host, and knows a request by
the ``x-request-id`` that the edge gave it.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.e2e import shop
from tests.support import envoy
from tests.support.certificates import CertificateAuthority
from tests.support.envoy import Envoy, Json
from tests.support.gateway_process import ISSUER, GatewayProcess, new_ring
from tests.support.http1 import Address, Field, Response
from tests.support.openid_provider import BASIC, RESOURCE, OpenIdProvider
from tests.support.ports import free_port
from tests.support.sidecar_process import write_json
from tests.support.tokens import SigningKey, claims, jwks, key_for, sign
from tests.support.upstream import Received, Upstream

ORDERS: Final = "orders.shop.example"
PAYMENTS: Final = "payments.shop.example"
HOSTS: Final = {"orders": ORDERS, "payments": PAYMENTS}
PAGE: Final = "https://www.shop.example"
PARTNER: Final = "https://partner.example"

# Where clients have their credentials.
SSO: Final = "sso_session"
SESSION: Final = "__Host-session"
LEGACY: Final = "x-legacy-session"

# Seconds: how long an answer about a session is believed, and how long one is waited for.
CACHE: Final = 1.5
SSO_TIMEOUT: Final = 1.5
LEGACY_TIMEOUT: Final = 0.5
LEGACY_LOOKUPS: Final = 4

# Keys are published 2.2 s before their use: for verifiers that refresh every second.
_AT_ONCE: Final = ("--leeway", "0s", "--propagation", "0s")
REQUEST_RING: Final = ("--verifier-refresh", "1s", *_AT_ONCE)
SESSION_RING: Final = ("--algorithm", "A256GCM", *_AT_ONCE)

_ROUTES: Final[list[Json]] = [
    {"name": "health", "match": {"path": "/healthz"}, "allow": {"public": True}},
    {
        "name": "catalogue",
        "match": {"path": "/catalogue"},
        "allow": {"optional": True},
        "token": {"audiences": ["orders"]},
    },
    {
        "name": "orders",
        "match": {"path": "/orders/**", "hosts": [ORDERS]},
        "allow": {"authenticated": True},
        "token": {"audiences": ["orders"], "scopes": ["orders:read"]},
    },
    {
        "name": "checkout",
        "match": {"methods": ["POST"], "path": "/checkout"},
        "allow": {"authenticated": True},
        "token": {"audiences": ["orders", "payments"]},
    },
    {
        "name": "payments",
        "match": {"path": "/payments/**", "hosts": [PAYMENTS]},
        "allow": {"authenticated": True},
        "token": {"audiences": ["payments"]},
    },
]
_SERVICE_ROUTES: Final[list[Json]] = [
    {"name": "health", "match": {"path": "/healthz"}, "allow": {"public": True}},
    {"name": "catalogue", "match": {"path": "/catalogue"}, "allow": {"optional": True}},
    {"name": "rest", "match": {"path": "/**"}, "allow": {"authenticated": True}},
]


class Issuer(NamedTuple):
    """Where sessions are looked up."""

    url: str
    ca_file: Path


def gateway_configuration(
    directory: Path, provider: OpenIdProvider, *, older: Issuer | None = None, **changes: object
) -> Json:
    """A gateway that takes every kind of credential; its files are put into ``directory``.

    ``provider`` issues the sessions of the SSO, ``older`` those of an older one, which is out of
    order where none is given.
    """
    new_ring(directory / "request-keys", *REQUEST_RING)
    new_ring(directory / "session-keys", *SESSION_RING)
    (directory / "sso-secret").write_text(provider.secret)
    write_json(directory / "partner.json", jwks(key_for("ES256")))
    older = older or Issuer(f"https://localhost:{free_port()}/introspect", provider.ca_file)
    return {
        "issuer": ISSUER,
        "trust": [
            {
                "name": "partner",
                "kind": "external",
                "issuer": PARTNER,
                "audiences": [ISSUER],
                "algorithms": ["ES256"],
                "types": ["JWT"],
                "keys": {"file": {"path": "partner.json"}},
            }
        ],
        "credentials": [
            {
                "name": "sso",
                "cookie": SSO,
                "introspection": {
                    **_asked(Issuer(provider.introspection_url, provider.ca_file)),
                    "issuer": provider.issuer,
                    "audiences": [RESOURCE],
                    "cache": f"{CACHE * 1000:g}ms",
                    "negative_cache": "1s",
                    "timeout": f"{SSO_TIMEOUT * 1000:g}ms",
                },
            },
            {
                "name": "legacy",
                "header": LEGACY,
                "subject_prefix": "legacy:",
                "introspection": {
                    **_asked(older),
                    "cache": "0s",
                    "timeout": f"{LEGACY_TIMEOUT * 1000:g}ms",
                    "max_lookups": LEGACY_LOOKUPS,
                },
            },
            {
                "name": "partners",
                "header": "authorization",
                "scheme": "Bearer",
                "subject_prefix": "partner:",
                "jwt": {"trust": ["partner"]},
            },
            {
                "name": "session",
                "cookie": SESSION,
                "session": {
                    "keys": {"directory": "session-keys"},
                    "issued_for": ["sso", "partners"],
                    "renew": "1s",
                    "leeway": "0s",
                    "propagation": "0s",
                },
            },
        ],
        "request_tokens": {
            "keys": {"directory": "request-keys"},
            "audiences": {"orders": ["orders:read", "orders:write"], "payments": []},
            "verifiers_refresh": "1s",
            "leeway": "0s",
            "propagation": "0s",
        },
        "routes": _ROUTES,
        "origins": [PAGE],
        "strip": list(shop.IDENTITY),
        "log": {"denials_per_second": 10_000},
        **changes,
    }


def _asked(issuer: Issuer) -> Json:
    return {
        "url": issuer.url,
        "ca_file": str(issuer.ca_file),
        "client": {"id": BASIC, "secret_file": "sso-secret"},
    }


def service_configuration(name: str, gateway: GatewayProcess) -> Json:
    """A service's sidecar, which finds the gateway's keys at its internal listener."""
    keys = {
        "url": gateway.jwks_url,
        "allow_http": True,
        "refresh": "1s",
        "min_refresh": "1s",
        "cooldown": "100ms",
    }
    return {
        "trust": [
            {
                "name": "gateway",
                "kind": "request",
                "issuer": ISSUER,
                "audiences": [name],
                "algorithms": ["ES256"],
                "types": ["at+jwt"],
                "roles_claim": "roles",
                "keys": {"jwks": keys},
            }
        ],
        "identity": {"headers": {**shop.IDENTITY, "x-user-roles": "roles"}},
        "routes": _SERVICE_ROUTES,
    }


@dataclass(frozen=True, slots=True)
class Passage:
    """One request through the edge: what the client got, and what the service saw of it."""

    edge: "Edge"
    response: Response
    upstream: Upstream

    @property
    def request_id(self) -> str:
        """The name that the edge gave to the request."""
        name = self.response.header("x-request-id")
        assert name is not None
        return name

    @property
    def reached_the_service(self) -> bool:
        return bool(self.upstream.received(self.request_id))

    @property
    def received(self) -> Received:
        (received,) = self.upstream.received(self.request_id)
        return received

    @property
    def token(self) -> str:
        """The token that the service got."""
        (line,) = self.received.values("authorization")
        scheme, _, token = line.decode().partition(" ")
        assert scheme == "Bearer"
        return token

    @property
    def access_log(self) -> dict[str, Any]:
        """What the edge wrote about it."""
        return self.edge.envoy.access_log(self.request_id)


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge Envoy, the gateway it asks, and by their hosts the applications behind."""

    envoy: Envoy
    gateway: GatewayProcess
    upstreams: Mapping[str, Upstream]
    tls: ssl.SSLContext

    def request(
        self,
        *headers: Field,
        method: str = "GET",
        target: str = "/orders/1",
        host: str = ORDERS,
    ) -> Passage:
        """Send one request, with the headers of its credentials among the others."""
        fields: list[Field] = [("host", host), *headers]
        response = self.envoy.request(method, target, fields, tls=self.tls)
        return Passage(self, response, self.upstreams[host])

    def status(self, *headers: Field) -> int:
        """How a request with these headers is answered."""
        return self.request(*headers).response.status

    def begin_session(self, credential: Field) -> str:
        """A session token, as a login page gets it for whoever has just logged in."""
        response = self.gateway.internal("POST", "/session", [credential])
        assert response.status == 204, response
        return session_in(response)


@contextmanager
def running_edge(
    version: str,
    directory: Path,
    gateway: GatewayProcess,
    addresses: Mapping[str, Address],
    upstreams: Mapping[str, Upstream],
) -> Iterator[Edge]:
    """Envoy as it is shipped for the edge, with one host and one cluster for each service.

    ``addresses`` and ``upstreams`` say by its name where a service is, and what records what
    arrives at its application in the end.
    """
    authority = CertificateAuthority(directory)
    authority.issue("tls", dns=ORDERS)
    trusting = authority.client_context()
    trusting.check_hostname = False  # the raw client asks for the host of the tests of sidecars
    described = envoy.load(envoy.GATEWAY)
    envoy.move(
        described,
        authz=gateway.socket,
        application=addresses["orders"],
        certificates=directory,
    )
    _add_payments(described, addresses["payments"])
    by_host = {HOSTS[name]: upstream for name, upstream in upstreams.items()}
    with Envoy(version, described, directory) as running:
        yield Edge(running, gateway, by_host, trusting)


def _add_payments(configuration: Json, address: Address) -> None:
    """A second service: like the first one, at its own host."""
    routes = envoy.http_connection_manager(configuration)["route_config"]
    (orders,) = routes["virtual_hosts"]
    payments = deepcopy(orders)
    payments |= {"name": "payments", "domains": [PAYMENTS]}
    payments["routes"][0]["route"]["cluster"] = "payments"
    routes["virtual_hosts"].append(payments)

    cluster = deepcopy(envoy.cluster(configuration, "orders"))
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = "payments"
    (locality,) = cluster["load_assignment"]["endpoints"]
    host, port = address
    moved = {"socket_address": {"address": host, "port_value": port}}
    locality["lb_endpoints"][0]["endpoint"]["address"] = moved
    configuration["static_resources"]["clusters"].append(cluster)


def sso(text: str) -> Field:
    """A session of the SSO, where a request has it."""
    return "cookie", f"{SSO}={text}"


def session(text: str) -> Field:
    """A session token of the gateway's."""
    return "cookie", f"{SESSION}={text}"


def legacy(text: str) -> Field:
    """A session of the older SSO."""
    return LEGACY, text


def bearer(text: str) -> Field:
    """A JWT of a partner's."""
    return "authorization", f"Bearer {text}"


def partner_token(key: SigningKey | None = None, **changes: Any) -> str:
    """A JWT of the partner's, for bob, fresh."""
    usual = {"issuer": PARTNER, "audience": ISSUER, "subject": "bob", "scope": "orders:read"}
    return sign(claims(**{**usual, **changes}), key or key_for("ES256"), typ="JWT")


def session_in(response: Response) -> str:
    """The session token that a response hands to the browser."""
    (cookie,) = [each for each in response.values("set-cookie") if each.startswith(f"{SESSION}=")]
    return cookie.partition(";")[0].partition("=")[2]
