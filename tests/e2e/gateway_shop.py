"""The gateway of the shop and the sidecars behind it: their configurations, and a partner's tokens.

Two services are behind it, orders and payments, each at its own host.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.e2e import shop
from tests.support.envoy import Json
from tests.support.gateway_process import ISSUER, GatewayProcess, new_ring
from tests.support.openid_provider import BASIC, RESOURCE, OpenIdProvider
from tests.support.ports import free_port
from tests.support.sidecar_process import write_json
from tests.support.tokens import SigningKey, claims, jwks, key_for, sign

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

# Keys are published 2 s before their use: for verifiers that refresh every second.
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
        "name": "logs",
        "match": {"path": "/logs/**", "hosts": [ORDERS]},
        "allow": {
            "headers": ["x-scope-orgid"],
            "when": 'request.headers["x-scope-orgid"] in token.groups',
        },
        "token": {"audiences": ["orders"]},
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
                "attributes": {
                    "roles": ["*"],
                    "groups": ["*"],
                    "claims": ["acr", "amr", "auth_time"],
                },
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
                "attributes": {"roles": ["customer"], "groups": ["group-*"]},
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


def partner_token(key: SigningKey | None = None, **changes: Any) -> str:
    """A JWT of the partner's, for bob, fresh."""
    usual = {"issuer": PARTNER, "audience": ISSUER, "subject": "bob", "scope": "orders:read"}
    return sign(claims(**{**usual, **changes}), key or key_for("ES256"), typ="JWT")
