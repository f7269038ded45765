"""The order service of a shop: its rules, and the tokens that are presented to it."""

import time
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.sidecar_process import write_json
from tests.support.tokens import SigningKey, claims, jwks, key_for, new_key, sign

Json = dict[str, Any]

GATEWAY = "https://gateway.shop.internal"
CLUSTER = "https://kubernetes.default.svc"
PARTNER = "https://partner.example"
AUDIENCE = "orders"

# Every header the service believes; no request may bring its own.
IDENTITY = {
    "x-user-id": "sub",
    "x-user-groups": "groups",
    "x-user-roles": ["realm_access", "roles"],
    "x-user-scopes": "scope",
}

ROUTES: list[Json] = [
    {"name": "health", "match": {"path": "/healthz"}, "allow": {"public": True}},
    {"name": "catalogue", "match": {"path": "/catalogue"}, "allow": {"optional": True}},
    {"name": "orders", "match": {"path": "/orders/**"}, "allow": {"authenticated": True}},
    {
        "name": "create-order",
        "match": {"methods": ["POST"], "path": "/orders"},
        "allow": {"scopes": ["orders:write", "orders:read"]},
    },
    {
        "name": "host",
        "match": {"path": "/by-host", "hosts": ["orders.shop.internal"]},
        "allow": {"public": True},
    },
    {
        "name": "not-admin",
        "match": {"path": "/not-admin"},
        "allow": {"when": "request.host != 'admin.shop.internal'"},
    },
    {
        "name": "invoices",
        "match": {"path": "/invoices"},
        "allow": {"scopes": ["profile"], "any_scope": ["invoices:read", "invoices:all"]},
    },
    {"name": "support", "match": {"path": "/support"}, "allow": {"any_role": ["support"]}},
    {
        "name": "password",
        "match": {"path": "/password"},
        "allow": {"max_age": "5m", "acr": ["urn:shop:2fa"]},
    },
    {"name": "staff", "match": {"path": "/staff"}, "allow": {"any_group": ["staff"]}},
    {
        "name": "customer",
        "match": {"path": "/customers/{customer}/orders"},
        "allow": {"when": "claims.sub == request.params.customer"},
    },
    {
        "name": "tenant",
        "match": {"path": "/tenant"},
        "allow": {"when": "claims.tenant == 'shop'"},
    },
    {
        "name": "logs",
        "match": {"path": "/logs/**"},
        "allow": {
            "headers": ["x-scope-orgid"],
            "when": 'request.headers["x-scope-orgid"] in claims.tenants',
        },
    },
    {
        "name": "ship",
        "match": {"path": "/ship"},
        "allow": {"authenticated": True, "callers": ["spiffe://shop/ns/orders/*"]},
    },
    {
        "name": "grpc",
        "match": {"path": "/shop.Orders/*"},
        "allow": {"scopes": ["orders:read"]},
    },
]


def configuration(directory: Path, **changes: object) -> Json:
    """The service's configuration, its keys in ``directory``; the partner's are not there yet."""
    publish(directory, "gateway", gateway_key())
    publish(directory, "cluster", cluster_key())
    return {
        "trust": [
            {
                "name": "gateway",
                "kind": "request",
                "issuer": GATEWAY,
                "audiences": [AUDIENCE],
                "algorithms": ["ES256"],
                "types": ["at+jwt"],
                "keys": _file(directory, "gateway"),
            },
            {
                "name": "cluster",
                "kind": "workload",
                "issuer": CLUSTER,
                "audiences": [AUDIENCE],
                "subjects": ["system:serviceaccount:shop:*"],
                "algorithms": ["ES256"],
                "types": ["none"],
                "keys": _file(directory, "cluster"),
            },
            {
                "name": "partner",
                "kind": "external",
                "issuer": PARTNER,
                "audiences": [AUDIENCE],
                "algorithms": ["ES256"],
                "types": ["at+jwt"],
                "keys": _file(directory, "partner"),
            },
        ],
        "identity": {"headers": IDENTITY, "forward_token": True},
        # Longer than the cooldown, so that each unknown key is looked for before it is refused.
        "limits": {"key_wait": "400ms"},
        "log": {"denials_per_second": 10_000},
        # The partner's keys do not come.
        "start_timeout": "1s",
        "routes": ROUTES,
        **changes,
    }


def publish(directory: Path, issuer: str, *keys: SigningKey) -> None:
    """Replace an issuer's published keys."""
    write_json(directory / f"{issuer}.json", jwks(*keys))


def gateway_key() -> SigningKey:
    return key_for("ES256")


@cache
def cluster_key() -> SigningKey:
    return new_key("ES256", "cluster")


def token(key: SigningKey | None = None, *, header: Json | None = None, **changes: Any) -> str:
    """A request token for alice, fresh; ``changes`` are claims to replace, or to leave out."""
    details: Json = {"issuer": GATEWAY, "audience": AUDIENCE, "subject": "alice", **changes}
    return sign(claims(**details), key or gateway_key(), **(header or {}))


def workload_token(subject: str, **changes: Any) -> str:
    """A service account's token: no ``typ``, another issuer."""
    return token(cluster_key(), header={"typ": None}, issuer=CLUSTER, subject=subject, **changes)


def now() -> int:
    return int(time.time())


def _file(directory: Path, issuer: str) -> Json:
    path = str(directory / f"{issuer}.json")
    return {"file": {"path": path, "refresh": "1s", "cooldown": "100ms"}}
