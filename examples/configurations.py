"""The shop's configurations on one machine: other addresses, other files and shorter times.

What decides about requests is as it stands in ``examples/shop``.
"""

from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from tests.support.gateway_process import new_ring
from tests.support.openid_provider import BASIC, OpenIdProvider
from tests.support.sidecar_process import write_json
from tests.support.tokens import SigningKey, jwks

Json = dict[str, Any]

# Where the gateway has its rings of keys.
REQUEST_KEYS: Final = "request-keys"
SESSION_KEYS: Final = "session-keys"

SHOP: Final = Path(__file__).parent / "shop"

# A rotation takes seconds instead of minutes: a key is published 3.2 s before it signs, as twice
# the refresh of those who verify, the propagation and the leeway demand.
LIFETIME: Final = "5s"
REFRESH: Final = "1s"
LEEWAY: Final = "200ms"
PROPAGATION: Final = "1s"


def gateway(directory: Path, provider: OpenIdProvider, partner: SigningKey) -> Json:
    """The gateway's, with its secret, its keys and its partner's in ``directory``.

    Its SSO is the provider, which is asked about every request: a session that has ended is refused
    at once, and not when the last answer about it is no longer believed.
    """
    document = load("gateway")
    sso, _, _ = document["credentials"]
    sso["introspection"] |= {
        "url": provider.introspection_url,
        "client": {"id": BASIC, "secret_file": "sso-secret"},
        "ca_file": str(provider.ca_file),
        "cache": "0s",
    }
    (directory / "sso-secret").write_text(provider.secret)
    document["trust"][0]["keys"] = {"file": {"path": "partner.json"}}
    write_json(directory / "partner.json", jwks(partner))
    document["request_tokens"] |= {
        "lifetime": LIFETIME,
        "verifiers_refresh": REFRESH,
        "leeway": LEEWAY,
        "propagation": PROPAGATION,
    }
    new_ring(
        directory / REQUEST_KEYS,
        *("--token-life", LIFETIME, "--verifier-refresh", REFRESH),
        *("--leeway", LEEWAY, "--propagation", PROPAGATION),
    )
    new_ring(directory / SESSION_KEYS, "--algorithm", "A256GCM")
    return document


def sidecar(service: str, jwks_url: str) -> Json:
    """A service's, with the gateway's keys where they are published here."""
    document = load(service)
    document["trust"][0] |= {
        "leeway": LEEWAY,
        "keys": {
            "jwks": {
                "url": jwks_url,
                "allow_http": True,
                "refresh": REFRESH,
                "min_refresh": REFRESH,
                "cooldown": REFRESH,
            }
        },
    }
    return document


def load(name: str) -> Json:
    """One of the shop's configurations as it is."""
    document: Json = YAML(typ="safe").load(SHOP / f"{name}.yaml")
    return document
